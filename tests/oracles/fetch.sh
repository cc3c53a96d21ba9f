#!/usr/bin/env bash
# Collects files that other projects ship, for `python -m tests.oracles FOLDER`: test data in the
# sources of Debian's packages, in those of PyPI and npm, and PDFs of Debian's documentation. About
# 1.5 GB. What a registry does not have is left out.
set -euo pipefail
folder="$(mkdir -p "$1" && cd "$1" && pwd)"
mkdir -p "$folder"/{packed,lists/partial,tree}
cd "$folder/packed"

cat > "$folder/sources.list" <<LIST
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(
    apt-get indextargets --format '$(REPO_URI)' | head -n 1) $(. /etc/os-release && echo "$VERSION_CODENAME") main
LIST
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$folder/lists")
"${apt[@]}" update
for name in libimage-exiftool-perl pdf.js libapache-poi-java pillow qpdf exiv2 piexif exif \
    libmetadata-extractor-java; do
    "${apt[@]}" source --download-only "$name" || echo "left out: $name" >&2
done
for name in r-doc-pdf debian-faq debian-policy debian-reference-en installation-guide-amd64 \
    maint-guide gnuplot-doc valgrind dblatex-doc asymptote-doc harden-doc developers-reference \
    texlive-lang-{arabic,cyrillic,german,japanese,other} texlive-humanities-doc; do
    apt-get -qq download "$name" || echo "left out: $name" >&2
done
for name in pypdf pdfminer.six python-docx python-pptx xlrd==1.2.0 messytables tabulator csvkit \
    agate agate-excel piexif hachoir puremagic; do
    python3 -m pip download -q --no-deps --no-binary :all: "$name" || echo "left out: $name" >&2
done
for name in pyarrow hvsampledata great-tables vega-datasets; do
    python3 -m pip download -q --no-deps "$name" || echo "left out: $name" >&2
done
for name in node-parquet exif-parser; do
    npm pack -s "$name" || echo "left out: $name" >&2
done

for file in *.orig*.tar.* *.tar.gz *.tgz; do
    case "$file" in *.asc) continue ;; esac
    mkdir -p "../tree/$file"
    tar xf "$file" -C "../tree/$file" --no-same-owner || echo "not unpacked: $file" >&2
done
for file in *.whl *.zip; do
    mkdir -p "../tree/$file"
    unzip -qo "$file" -d "../tree/$file" || echo "not unpacked: $file" >&2
done
for file in *.deb; do
    mkdir -p "../tree/$file"
    dpkg-deb --fsys-tarfile "$file" |
        tar x -C "../tree/$file" --no-same-owner --wildcards '*.pdf*' || echo "no PDF: $file" >&2
done
find ../tree -name '*.pdf.gz' -exec gunzip -f {} +
