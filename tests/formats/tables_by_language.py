"""Small tables in many languages, each in the encoding that Excel writes in its country.

Made from words and rules with a fixed seed, so that they are the same everywhere. The words are
other than those of datasette_files/formats/languages.py: what is told from these is not known by
heart. Two tables of one language have other words, lengths and columns.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

#: Language: encoding, header, words (names, places, phrases), each parted by a comma.
LANGUAGES: dict[str, tuple[str, str, str]] = {
    "French": (
        "windows-1252",
        "Numéro,Libellé,Lieu,Montant",
        "Béatrice Lefèvre,Rémi Dupré,Cécile Noël,Gérard Mérieux,Hervé Guérin,Angélique Prévost,Clémence"
        " Léger,Aurélien Baptême,Adélaïde Crête,Chloé Bézard,Agnès Forêt,Valérie Rivière,Orléans-la-Forêt,"
        "Périgueux,Nevers,Chambéry,Alès,Vénissieux,Créteil,Fécamp,Vélizy,Compiègne,Thérouanne,"
        "Réparation chaudière,Café allongé,Thé à la menthe,Pièces détachées,Crédit à zéro,Livré le matin,"
        "À rappeler,Déménagement,Bœuf haché,Pâtes fraîches,Épicerie,Réservé,Reçu n° 12,Prix TTC 3 €",
    ),
    "German": (
        "windows-1252",
        "Nummer,Bezeichnung,Straße,Betrag",
        "Jörn Bäcker,Ute Grünwald,Heike Böhm,Götz Häußler,Anja Kühn,Uwe Förster,Käthe Schön,Bernd Voß,"
        "Mönchengladbach,Osnabrück,Lüneburg,Gütersloh,Schwäbisch Gmünd,Böblingen,Wülfrath,Bärenstraße 3,"
        "Kühlschrank,Spülmaschine,Möbel,Bücherregal,Gemüse,Käse,Brötchen,Süßigkeiten,Mühle,Türgriff,"
        "Für später,geprüft,erfüllt,gelöscht,überfällig,Ölfilter,Äpfel,Übergabe,Menge 3 m²,20 °C,5 €",
    ),
    "Spanish": (
        "windows-1252",
        "Código,Nombre,Población,Año",
        "Begoña Ruiz,Íñigo Salas,Nuria Cañete,Ramón Vélez,Belén Durán,Óscar Gálvez,Rocío Beltrán,Iván Roldán,"
        "Nicolás Bermúdez,Adrián Cortés,Úbeda,Mérida,Castellón,Alcalá,San Sebastián,Almuñécar,Vélez-Málaga,"
        "Piñón,Jamón ibérico,Azúcar,Champú,Baño,Cigüeña,Leña,Rebaño,Almacén,Avión,Línea 4,Envío urgente,"
        "¿Pagado?,¡Listo!,Sin número,3ª planta,Nº 5,Cañería,Lámpara,Sillón",
    ),
    "Portuguese": (
        "windows-1252",
        "Código,Descrição,Região,Preço",
        "Tomé Falcão,Luísa Brandão,Zé Colaço,Mónica Simão,Débora Leitão,Vítor Galvão,Júlia Assunção,Caçador,"
        "Caué Rondônia,Viseu,Santarém,Covilhã,Portimão,Olhão,Vitória,Cuiabá,Macapá,Jundiaí,São Luís,Uberlândia,"
        "Feijão,Limão,Açúcar,Maçã,Pão de ló,Sabão,Fogão,Colchão,Almoço,Refeições,Peças,Lições,Atenção,"
        "Edição nº 2,Avaliação,Entregue às 9h",
    ),
    "Italian": (
        "windows-1252",
        "Codice,Attività,Località,Quantità",
        "Nicolò Rossi,Noè Bianchi,Giosuè Carli,Mosè Conti,Totò Greco,Cantù Marco,Forlì,Canicattì,Muggiò,Viggiù,"
        "Cittadella,Agibilità,Pubblicità,Unità,Affidabilità,Caffè macchiato,Tiramisù,Bignè,Ragù,Baccalà,Purè,"
        "Venerdì,Giovedì,Sanità,Disponibilità,Varietà,Più tardi,È pronto,Perché no,Servirà,Pagherò,5 °C",
    ),
    "Swedish": (
        "windows-1252",
        "Nr,Benämning,Ort,Värde",
        "Måns Hellström,Åke Lövgren,Kerstin Sjögren,Örjan Fält,Bo Ängström,Ulla Dahlström,Pär Rydén,Härnösand,"
        "Östersund,Skellefteå,Piteå,Ängelholm,Trollhättan,Mjölby,Strängnäs,Smör,Bröd,Kött,Frukt och grönt,"
        "Glögg,Kräftor,Köttbullar,Städning,Målning,Fönster,Dörr,Hörlurar,Försäkring,Återbetalning",
    ),
    "Danish": (
        "windows-1252",
        "Nr,Beskrivelse,Sted,Beløb",
        "Bjarne Kjærgaard,Søs Østerberg,Rikke Højgaard,Asbjørn Skov,Lærke Holm,Troels Bækgaard,Pål Ødegård,Køge,"
        "Næstved,Hillerød,Helsingør,Nykøbing,Skørping,Ærø,Sæby,Smørrebrød,Rødgrød,Mælk,Æg,Brød,Øl,Køkken,Gulvtæppe,"
        "Dør,Nøgle,Rengøring,Gebyr på 5,Indkøb,Måned,Årsrapport,Lørdag,Søndag",
    ),
    "Polish": (
        "windows-1250",
        "Nr,Imię,Miejscowość,Wartość",
        "Grzegorz Brzęczyszczykiewicz,Jędrzej Śliwa,Zdzisław Gołąb,Wiesława Żak,Halina Gąsior,Bronisław Kłos,"
        "Agnieszka Pęk,Urszula Dębska,Józef Miś,Kędzierzyn-Koźle,Ełk,Wałbrzych,Bełchatów,Chełm,Słupsk,Kołobrzeg,"
        "Ostrołęka,Tarnów,Śledź,Chleb żytni,Masło,Mąka,Jabłka,Gruszki,Łyżka,Krzesło,Stół,Półka,Drążek,"
        "Opłacone,Wysłane,Anulowanó,Niedziela,Zażalenie,Usunięto",
    ),
    "Czech": (
        "windows-1250",
        "Číslo,Název,Město,Částka",
        "Řehoř Bláha,Šárka Vlčková,Květa Říhová,Miloš Hruška,Jarmila Žáková,Luboš Křížek,Vít Čech,Alžběta"
        " Sýkorová,Otakar Štěrba,Havířov,Mělník,Žďár nad Sázavou,Opava,Znojmo,Frýdek-Místek,Hodonín,Šluknov,"
        "Rohlík,Mléko,Máslo,Švestky,Knedlíky,Židle,Stůl,Skříň,Žárovka,Kolečko,Zaplaceno včas,Doručeno,Vráceno"
        " zpět,Pondělí,Čokoláda,Řízek",
    ),
    "Hungarian": (
        "windows-1250",
        "Szám,Megnevezés,Város,Összeg",
        "Bődőcs Tibor,Fűzfa Lőrinc,Hegedűs Örs,Kőműves Béla,Bíró Dezső,Gellért Réka,Őri Jenő,Zsűrös Géza,Esztergom"
        " felső,Hódmezővásárhely,Dunaújváros,Hajdúböszörmény,Mezőkövesd,Kőröshegy,Fertőd,Cipő,Gyümölcs,Húsleves,Tejföl,"
        "Gyűrű,Sütő,Lepedő,Esernyő,Könyv,Felelős,Szűrő,Jövő hét,Kedd délelőtt,Fizetendő,Elküldött,Szerző",
    ),
    "Romanian": (
        "windows-1250",
        "Număr,Denumire,Localitate,Preţ",
        "Ruxandra Ţepeş,Anişoara Pârvu,Ilinca Mureşan,Vlăduţ Drăgan,Octavian Stănescu,Mihăiţă Lăzărescu,Făgăraş,"
        "Călăraşi,Târgovişte,Năsăud,Câmpulung,Sfântu Gheorghe,Reşiţa,Mălai,Brânză,Roşii,Ceapă,Smântână,Cârnaţi,Pâslă,"
        "Scândură,Plătit parţial,Livrată,Şedinţă,Întâlnire,Lângă uşă,Mărţişor",
    ),
    "Croatian": (
        "windows-1250",
        "Broj,Naziv,Mjesto,Količina",
        "Želimir Perić,Anđela Stanić,Krešimir Radić,Zdravko Čolić,Goran Đokić,Mirjana Šušnjić,Dražen Bešlić,Čazma,"
        "Đurđevac,Koprivnica i Križ,Slavonski Šamac,Poreč,Makarska šuma,Kašalj,Sađenje,Čaša,Pšenica,Grožđe,Češnjak,"
        "Škare,Uređenje,Plaćanje,Vraćeno,Početak,Završetak,Srpanj žega",
    ),
    "Russian": (
        "windows-1251",
        "Номер,Наименование,Город,Сумма",
        "Фёдор Щукин,Зинаида Яковлева,Эдуард Чехов,Ярослав Ильин,Любовь Журавлёва,Глеб Шишкин,Тверь,Курск,Архангельск,"
        "Мурманск,Ижевск,Якутск,Сочи,Картофель,Сахар,Подсолнечное масло,Шкаф,Кресло,Чайник,Оплачено,Отгружено,В пути,"
        "Щётка,Юбка,Объём,Вторник,Ёлка,Ключ",
    ),
    "Ukrainian": (
        "windows-1251",
        "Номер,Найменування,Місто,Сума",
        "Ярина Цимбалюк,Богдан Гнатюк,Соломія Їжакевич,Остап Вишня,Лідія Федорів,Ужгород,Івано-Франківськ,Тернопіль,"
        "Жмеринка,Цукор,Борошно,Сіль,Олія соняшникова,Крісло,Шафа,Сплачено,Відправлено,Щітка,Цього тижня,Понеділок,"
        "П'ятниця,Ґудзик,Яєчня",
    ),
    "Greek": (
        "windows-1253",
        "Κωδικός,Όνομα,Πόλη,Ποσό",
        "Σπύρος Λάμπρου,Θανάσης Ψαράς,Βασιλική Ξένου,Ευάγγελος Ζώης,Φωτεινή Χρήστου,Τρίκαλα,Σέρρες,Καλαμάτα,Ξάνθη,Δράμα,"
        "Ζάχαρη,Ελαιόλαδο,Ψωμί,Τυρί φέτα,Καρέκλα,Τραπέζι,Πληρώθηκε,Εκκρεμεί,Υψηλό,Δευτέρα,Παρασκευή,Εβδομάδα",
    ),
    "Turkish": (
        "windows-1254",
        "Numara,Açıklama,Şehir,Tutar",
        "Nazlı Bulut,İsmail Taşkın,Songül Akbaş,Şükrü Aydoğan,Ümit Işıklı,Hasan Çakır,Dağhan Yücel,Gülay Kaş,Kütahya,"
        "Uşak,Düzce,Çorum,Kırklareli,Gümüşhane,Muş,Şırnak,Peynir çeşitleri,Yağ,Ekmek arası,Şeker,Sandalye ayağı,Çay bardağı,"
        "Ödendi mi,Kargolandı,İptal edildi,Perakende satış,Haftalık,Çıkış,Giriş",
    ),
    "Lithuanian": (
        "windows-1257",
        "Numeris,Pavadinimas,Vieta,Vertė",
        "Žydrūnas Šerkšnas,Vaidotė Jonušienė,Gediminas Kučinskas,Aušra Baltrūnė,Kęstutis Grigaliūnas,Ričardas Gečas,Radviliškis,"
        "Mažeikiai,Ukmergė,Druskininkų,Visaginas čia,Duonos kepykla žalia,Cukraus kiekis gramų,Sviestą,Kėdė,Šaukštas,Lėkštė,"
        "Apmokėta,Išsiųsta,Atšaukta,Trečiadienis,Šiąnakt,Įrašas,Ūkis",
    ),
    "Latvian": (
        "windows-1257",
        "Numurs,Nosaukums,Pilsēta,Vērtība",
        "Raimonds Āboliņš,Dzintra Šķēle,Guntars Vītols,Ņina Kļaviņa,Ēriks Dūmiņš,Aļona Ķēniņa,Valmiera augšā,Tukums ziņa,"
        "Limbaži,Ogrē,Bauskā,Krāslava,Maizīte,Sviests ar sāli,Krēsls,Šķīvis,Karoģe,Samaksāts,Nosūtīts,Atcelts vakarā,Trešdiena,"
        "Piektdienā,Pūķis,Īpašums",
    ),
    "Hebrew": (
        "windows-1255",
        "קוד,תאור,יישוב,שווי",
        "נועם פרידמן,איתי גולן,יעל ברק,רונית שפירא,עומר דהן,הרצליה,כפר סבא,רחובות,אילת,טבריה,עגבניות,לחם,חלב,גבינה צהובה,"
        "כיסא,שולחן,מנורה,שולם,נשלח,בוטל,ראשון,שישי,צפון,דרום",
    ),
    "Arabic": (
        "windows-1256",
        "الرمز,البيان,المدينة,القيمة",
        "طارق منصور,هالة شريف,ياسر عوض,رانيا صالح,وليد حمدي,حلب,طنطا,أسوان,الدوحة,مسقط,سكر,خبز,حليب,زيت زيتون,كرسي,طاولة,"
        "مصباح,مدفوع,قيد التوصيل,ملغى,الاثنين,الجمعة,شمال,جنوب",
    ),
    "Thai": (
        "windows-874",
        "รหัส,รายการ,เมือง,มูลค่า",
        "อนุชา พงษ์ไทย,กมลวรรณ ศรีสุข,ธนากร แสงทอง,พิมพ์ใจ ดีงาม,ระยอง,ลำปาง,อุดรธานี,นครปฐม,น้ำตาล,ข้าวหอมมะลิ,"
        "น้ำมันพืช,เก้าอี้,โต๊ะ,โคมไฟ,ชำระแล้ว,จัดส่งแล้ว,ยกเลิก,วันจันทร์,วันศุกร์,เหนือ,ใต้",
    ),
    "Japanese": (
        "shift_jis",
        "番号,品名,都市,金額",
        "小林 健二,吉田 さくら,山口 大輔,松本 ゆかり,井上 誠,仙台市,広島県,熊本,金沢,那覇,砂糖,しょうゆ,みそ,牛乳,"
        "イス,テーブル,ノート,支払済み,発送しました,キャンセル,月曜日,金曜日,カメラ,デジタル時計",
    ),
    "Korean": (
        "euc-kr",
        "코드,품목,도시,금액",
        "김도윤,이하늘,박서준,최예은,정다은,대구광역시,인천,제주도,춘천,포항,설탕,간장,우유,쌀밥,의자,책상,노트북,"
        "결제됨,발송함,취소,월요일,금요일,카메라,전자시계",
    ),
    "Chinese": (
        "gb18030",
        "编码,品名,城市,金额",
        "李晓明,王丽华,张伟强,刘洋,陈静怡,青岛市,大连,厦门,昆明,哈尔滨,白糖,酱油,牛奶,大米,椅子,桌子,笔记本,"
        "已付款,已发货,已取消,星期一,星期五,照相机,电子表",
    ),
    "Taiwanese": (
        "big5",
        "編碼,品名,城市,金額",
        "林志豪,陳雅婷,黃俊傑,張淑芬,吳宗翰,臺南市,彰化,宜蘭,苗栗,雲林,白糖,醬油,牛奶,白米,椅子,桌子,筆記本,"
        "已付款,已出貨,已取消,星期一,星期五,照相機,電子錶",
    ),
}
_CODECS = {"shift_jis": "cp932", "euc-kr": "cp949", "big5": "cp950", "windows-874": "cp874"}
_PER_LANGUAGE = 36

#: Typical tables of Excel in the West, in which little or one byte tells.
WESTERN = (
    "item,amount\nflour,¼\nsugar,¾\n",
    "comuna,total\nÑUÑOA,1\n",
    *(
        "place,temperature\nOslo,25°C\n",
        "name\nMuñoz\n",
        "item,price\ntea,£5\n",
        "item,price\ntea,5 €\n",
    ),
    *(
        "item,price\ntea,€5\n",
        "years\n1999–2004\n",
        "word\nnaïve\n",
        "said\n“hello”\n",
        "it\nIt’s here\n",
    ),
    *(
        "menu,price\nCafé,3\n",
        "a,b\nrésumé,1\n",
        "city\nMünchen\n",
        "city\nZürich\n",
        "city\nMálaga\n",
    ),
    *("name\nJosé\n", "name\nFrançois\n", "name\nBjörk\n", "name\nSøren\n", "city\nSão Paulo\n"),
    *("area\n12 m²\n", "note\n3 ½ cups\n", "brand\nAcme®\n", "brand\nAcme™\n", "range\n5 ± 2\n"),
    *(
        "a\nwait…\n",
        "a\n© 2020 Acme\n",
        "size\n10 µm\n",
        "size\n3×4\n",
        "a\n§ 5\n",
        "year\naño\n",
        "a\nÜber\n",
    ),
    *(
        "a\nGröße\n",
        "a\nÅse\n",
        "a\ncittà\n",
        "a\nperò\n",
        "a\npiñata\n",
        "n\nn° 5\n",
        "n\n40°N\n",
        "n\n50 µg/l\n",
        "n\nRagù\n",
        "t\n-5 °C\n",
    ),
    *(
        "p\n¥500\n",
        "p\n5¢\n",
        "a\n• one\n",
        "a\nTemp (°C)\n1\n",
        "a\nPeña\n",
        "a\nNúñez\n",
        "a\nIbáñez\n",
    ),
    *(
        "a\nO’Neill\n",
        "a\nfiancée\n",
        "a\nRenée Zoë\n",
        "a\nCôte d’Ivoire\n",
        "a\nCuraçao\n",
        "a\nRéunion\n",
    ),
)


@dataclass(frozen=True)
class Sample:
    """A table, and the encoding that it is in."""

    language: str
    encoding: str
    text: str

    @property
    def content(self) -> bytes:
        return self.text.encode(_CODECS.get(self.encoding, self.encoding))


def corpus() -> Iterator[Sample]:
    """25 languages, 36 tables of each."""
    for language, (encoding, header, listed) in LANGUAGES.items():
        chosen, words = random.Random(language), listed.split(",")
        for number in range(_PER_LANGUAGE):
            columns = chosen.randint(1, 3)
            rows = chosen.choice((1, 2, 3, 5, 8, 13))
            # Some have their names in English, as software writes them.
            names = header.split(",") if number % 3 else ["id", "name", "city", "note"]
            lines = [",".join(names[: columns + 1])]
            for row in range(1, rows + 1):
                lines.append(",".join([str(row), *(chosen.choice(words) for _ in range(columns))]))
            text = "\r\n".join(lines) + "\r\n"
            if not text.isascii():
                yield Sample(language, encoding, text)
