from tests.conftest import upload


async def test_roundtrip(datasette):
    r = await upload(datasette)
    d = await datasette.client.get(r["download_url"])
    assert d.content == b"hello"
    assert (await datasette.client.get(r["url"])).status_code == 200
    assert (await datasette.client.get("/-/files")).status_code == 200
    assert (await datasette.client.get("/-/files/source/docs")).status_code == 200
    assert (await datasette.client.get("/-/files/source/docs.json")).json()["total"] == 1
    assert (await datasette.client.get("/-/files/search?q=hello")).status_code == 200
    j=(await datasette.client.get("/-/files/search.json?q=hel")).json(); assert j["total"] == 1, j
    j=(await datasette.client.get("/-/files/search.json?q="+r["id"])).json(); assert j["total"] == 1, j
    assert (await datasette.client.get("/-/files/upload/docs")).status_code == 200
    assert (await datasette.client.get("/-/files/import/"+r["id"])).status_code == 200
    b=(await datasette.client.get("/-/files/batch.json?id="+r["id"])).json(); assert b["files"]
    t=await datasette.client.get(r["thumbnail_url"]); assert t.status_code==200, t.text
    u=await datasette.client.post(r["url"]+"/-/update", json={"update":{"search_text":"foo"}}); assert u.json()["file"]["search_text"]=="foo", u.text
    x=await datasette.client.post(r["url"]+"/-/delete", json={}); assert x.json()=={"ok":True}
    x=await datasette.client.post(r["url"]+"/-/delete", json={}); assert x.json()=={"ok":True}
    x=await datasette.client.get(r["url"]+".json"); assert x.status_code==404 and x.json()["code"]=="not_found"
    p=(await datasette.client.post("/-/files/upload/docs/-/prepare", json={"filename":"a.txt","size":3})).json()
    u=await datasette.client.post(p["upload_url"], data=p["upload_fields"], files={"file":("a.txt",b"abc")}); assert u.json()=={"ok":True}, u.text
    c=await datasette.client.post("/-/files/upload/docs/-/complete", json={"upload_token":p["upload_token"]}); assert c.status_code==201, c.text
    c=await datasette.client.post("/-/files/upload/docs/-/complete", json={"upload_token":p["upload_token"]}); assert c.status_code==200, c.text
    assert (await datasette.client.get("/")).text.count("Manage files")
    from datasette_files import get_file
    f=await get_file(datasette, c.json()["file"]["id"]); assert await f.read()==b"abc"
    async with f.open(1) as s: assert b"".join([x async for x in s])==b"bc"
