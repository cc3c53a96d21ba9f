"""Words from which the language of a text, and so its encoding, is guessed (guessing.py).

Common words, names and places whose letters are not all ASCII. The frequencies of a language's
letters and pairs of letters are counted from them. Not a dictionary; more words guess better.
"""

from __future__ import annotations

#: Words by language, for languages with an alphabet.
WORDS = {
    "English": "naïve café résumé façade cliché fiancée Zoë Chloë Renée André déjà vu entrée coöperate"
    " soufflé piñata jalapeño crème brûlée El Niño São Paulo Björk Beyoncé Brontë Noël decor décor"
    " touché sauté purée protégé exposé Citroën Nestlé Malmö Zürich Québec Montréal",
    "French": "été première société générale développement français élève école hôtel forêt août"
    " château théâtre numéro prénom téléphone adresse qualité quantité catégorie référence février"
    " décembre créé modifié payé livré réglé annulé où à très après près père mère frère gérant"
    " Hélène André François Françoise Benoît Noël Jérôme Stéphane Frédéric Gaëlle Zoé Léa Anaïs"
    " Besançon Nîmes Orléans Évreux Saint-Étienne Châlons Béziers Sète Mâcon Bâle Genève Côte Rhône"
    " naïf maïs reçu ça leçon garçon façade dû sûr mûr goût coût bientôt côté contrôle règle pièce"
    " matière dernière manière œuvre sœur cœur crème caféine Thérèse évêque pâte tâche bâtiment île"
    " péage pédale péril pétale répété dépôt mémoire mélange métal métier hélas série zéro périmètre vélo",
    "German": "für über Straße Größe Grüße Müller Schäfer Jäger Köhler Möller Schröder Krüger Günther"
    " Jürgen Jörg Björn Käthe Bärbel Sören München Köln Düsseldorf Nürnberg Zürich Österreich Würzburg"
    " Lübeck Göttingen Tübingen Saarbrücken Münster Fürth Gießen Preußen Änderung Übersicht Ärzte"
    " Öffnung öffnen fällig jährlich täglich schön möglich größer früher später natürlich zurück"
    " geändert gültig ungültig prüfen Prüfung Stück Gebühr Rückgabe Lösung Höhe Länge Fläche Währung"
    " Verkäufer Käufer Geschäft Vermögen Bürger Schüler weiß heiß Spaß Maß Fuß groß außen süß März",
    "Spanish": "año niño señor señora España español mañana pequeño compañía diseño montaña otoño sueño"
    " Muñoz Peña Núñez Ibáñez Ordóñez Zúñiga García González Martínez López Sánchez Pérez Gómez Díaz"
    " Fernández Rodríguez Hernández Jiménez Álvarez José María Jesús Ángel Inés Andrés Tomás Sofía"
    " Raúl Mónica Verónica Lucía Héctor Málaga Córdoba Cádiz León Ávila Cáceres Almería Logroño Coruña"
    " México Bogotá Perú Medellín Asunción dirección teléfono número información descripción código"
    " categoría razón población educación atención también además después está será más sí él aquí"
    " público único último artículo página vehículo pingüino vergüenza día país río café inglés Iñaki"
    " rápido sábado máximo mínimo película débil cálido sólido inválido lámina párrafo plástico ñandú",
    "Portuguese": "não são então também João São Sebastião coração região informação situação descrição"
    " educação preço serviço Gonçalves Conceição França praça endereço ações opções condições milhões"
    " Simões Camões põe José António Antônio Luís Inês Mário Sérgio Cláudia Patrícia Márcia Fátima"
    " Araújo Magalhães Guimarães Mendonça Brasília Goiânia Florianópolis Maceió Belém Ceará Paraná"
    " Évora Setúbal Bragança Lisboã água época você três mês inglês português é até já lá à às possível"
    " código número público último único página saúde país índice título médico alemã manhã amanhã irmã"
    " mãe mães pão pães cão avô avó pôr após câmara âmbito lâmpada distância período histórico útil",
    "Italian": "città università qualità attività società età libertà possibilità perché poiché finché"
    " è più può però così già giù là lì sarà verrà avrà lunedì martedì mercoledì giovedì venerdì"
    " caffè tè tribù virtù Niccolò Nicolò Cantù Forlì Mondovì Canicattì Cefalù Salò Nardò comò falò"
    " quantità identità località velocità proprietà novità metà papà sì né dà però perciò ciò piè"
    " Noè Mosè Salomè lacchè benché purché affinché sicché poté ragù menù quaggiù laggiù lassù gioventù Gesù"
    " Corfù bontà verità facoltà autorità necessità sanità unità podestà partirà dirà farà potrà avrò andrò",
    "Dutch": "België coördinatie coöperatie geïnteresseerd geïmporteerd reünie efficiënt patiënt cliënt"
    " ideeën industrieën categorieën provinciën tweeën zeeën één vóór café financiële officiële oriënt"
    " Azië Italië Brazilië Australië Daniël Michaël Joël Zoë Noël Chloë Raphaël bacteriën hygiëne crèche"
    " enquête scène naïef ruïne maïs egoïst geüpdatet geëist beëindigd gecreëerd",
    "Nordic": "Malmö Göteborg Västerås Örebro Linköping Norrköping Jönköping Umeå Luleå Gävle Borås Växjö"
    " Åkesson Öberg Sjöberg Lindström Bergström Söderström Åström Björk Håkan Göran Sören Märta Åsa"
    " för är från på även också någon år får när två även där större största börja många något själv"
    " København Århus Ålborg Sønderborg Tromsø Bodø Ålesund Drøbak Færøerne Bjørn Søren Jørgen Bærum"
    " Håkon Øystein Åse Østergård Kjær Sørensen Jørgensen Nørgaard Møller Grønland øre kø være når på"
    " både også høj læge færdig gør først større næste måned ændre æble ål å før bestå række værdi køb"
    " Jyväskylä Hämeenlinna Jämsä Mäkinen Hämäläinen Mäkelä Järvinen Lehtimäki Päivi Väinö Yrjö Pöysti"
    " sähköposti määrä päivä käyttäjä tänään hyvää yö työ syöttö näyttö järjestelmä lisätä väri kesä",
    "Icelandic": "Reykjavík Ísafjörður Kópavogur Hafnarfjörður Guðmundur Þórður Þór Þorsteinn Sigríður"
    " Guðrún Jón Jónsdóttir Ólafur Björn Árni Ásgeir það þetta þú við með verður maður staður bæ bæði"
    " ný nýtt síða því sér íslenska árið sumarið góðan daginn Akranes Húsavík Seyðisfjörður orð"
    " blað hraði góð til að hlaða leiðin ódýr ófær Óskar Óðinn Ólöf úr útgáfa íbúð veður auðvelt rauð gjöf",
    "Polish": "Łódź Kraków Wrocław Poznań Gdańsk Toruń Częstochowa Rzeszów Bielsko-Biała Świdnica Żywiec"
    " Zielona Góra Białystok Łukasz Paweł Michał Rafał Stanisław Bogusław Mirosław Wałęsa Małgorzata"
    " Elżbieta Bożena Grażyna Wójcik Kowalczyk Wiśniewski Woźniak Dąbrowski Kozłowski Jabłoński Pawłowski"
    " Zając Król Wróbel Kołodziej Błaszczyk Grabiński Zieliński Szymański Wyżykowski ulica światło święto"
    " będzie są się już także może można że też który która które żółty zółw łąka główny początek końcowy"
    " wartość ilość jakość miesiąc dzień tydzień wrzesień październik grudzień cześć województwo powiat"
    " zamówienie płatność sprzedaż numer książka mężczyzna dziękuję proszę działa usługa środa piątek",
    "Czech": "Dvořák Novák Černý Procházka Kučera Veselý Němec Marek Růžička Jiří Tomáš Ondřej Lukáš"
    " Matěj Štěpán Vojtěch Zdeněk František Božena Markéta Kateřina Eliška Plzeň Děčín Ústí Liberec"
    " České Budějovice Hradec Králové Kladno Zlín Olomouc Jihlava Třebíč Přerov Mladá Boleslav Příbram"
    " Písek Šumperk Náchod Břeclav Kroměříž město ulice číslo příjmení jméno telefonní účet částka měsíc"
    " září říjen únor květen červen červenec neděle středa čtvrtek pátek příští může být již že více méně"
    " dnů žádost řešení změna dům kůň můj růst průměr svůj žluťoučký kůň úpěl ďábelské ódy děti tělo loď",
    "Slovak": "Ľubomír Ľudmila Košice Žilina Prešov Trenčín Banská Bystrica Piešťany Štúr Kováč Horváth"
    " Tóth Nagyová Ďuriš Šťastný deň týždeň môže vôňa stôl kôň učiteľ priateľ ľudia kľúč dĺžka stĺp vŕba"
    " mesto číslo názov účet mäso päť deväť svätý večer štvrtok nedeľa október január február",
    "Hungarian": "Győr Győző Gergő Kőszeg Hegyeshalom Erdős Szőke Őrség Ősz üzenet ügyfél szükséges"
    " Székesfehérvár Pécs Szűcs Csűrös Miskolc Kecskemét Nyíregyháza Békéscsaba Debrecén Sopron Tatabánya"
    " Nagy István László József János Károly Zoltán Gábor Sándor Péter Ferenc Erzsébet Katalin Mária Éva"
    " Szabó Tóth Horváth Kovács Molnár Németh Balázs Török Fülöp Szőllősi idő erő nő férfi szám név cím"
    " telefonszám összeg mennyiség érték dátum időpont felhasználó első utolsó következő előző művelet"
    " gyűjtemény fű mű tű hűtő fűtés műszaki betű egyszerű gyönyörű különböző között belül után előtt több",
    "Romanian": "Bucureşti Timişoara Iaşi Braşov Ploieşti Constanţa Galaţi Bistriţa Piteşti Târgu Mureş"
    " Râmnicu Vâlcea Oraş judeţ stradă număr şi să că în între mână până lână pâine România română câmp"
    " Ştefan Şerban Mădălina Cătălin Cătălina Răzvan Bogdănescu Ionuţ Anuţa Văcărescu Brâncuşi Brătianu"
    " bună dimineaţa preţ cantităţi informaţii adresă plată dată totală săptămână vânzări maşină casă ţară"
    " fată băiat mamă tată apă viaţă oraşul poziţie acţiune naţional este şapte două când cât atât",
    "Croatian": "Petrović Jovanović Nikolić Marković Đorđević Đurić Šarić Babić Knežević Čačić Žagar"
    " Čović Ćosić Vuković Božić Šimić Blažević Šibenik Čakovec Osijek Đakovo Varaždin Požega Križevci"
    " Ljubljana Škofja Žužemberk Krško Črnomelj Gorišek Kovačič Zupančič Horvatič kuća noć već sljedeći"
    " riječ čovjek žena dječak tisuća međunarodni također možda šest četiri što zašto uređaj veličina"
    " količina riječi općina županija tečaj država članak cijena plaćeno naručeno sječanj veljača ožujak",
    "Turkish": "İstanbul İzmir Eskişehir Muğla Şanlıurfa Diyarbakır Aydın Balıkesir Kırıkkale Çanakkale"
    " Ağrı Iğdır Kırşehir Niğde Tekirdağ Elazığ Ayşe Mehmet Işık Yılmaz Şahin Yıldız Yıldırım Öztürk"
    " Aydın Özdemir Arslan Doğan Kılıç Aslan Çetin Koç Kurt Özkan Şimşek Erdoğan Güneş Çağla Barış Gülşen"
    " Oğuz Uğur Tuğba Gökçe Işıl Pınar Sıla Çiğdem için değil çalışma sayı adı soyadı ürün müşteri sipariş"
    " açıklama şehir ülke gün ağustos şubat kasım salı çarşamba perşembe işlem bağlantı yıl sınıf kız kapı"
    " ışık baş taş kış yaş iş dış ağaç dağ yağmur doğru eğitim öğrenci öğretmen güzel büyük küçük nasıl",
    "Lithuanian": "Šiauliai Panevėžys Klaipėda Kėdainiai Marijampolė Telšiai Utena Alytus Tauragė Biržai"
    " Jonavą Žukauskas Žilinskas Petrauskienė Kazlauskaitė Jankauskienė Šimkus Čepaitis Rūta Dalė Jūratė"
    " Eglė Živilė Gražina Saulė Agnė Vytautė gatvė miestų šalių įmonė įmonių žmonių vaikų kaina prekė prekių"
    " ąžuolas ačiū mėnuo mėnesį metų dienų savaitė pirmadienį šeštadienis birželis rugsėjis lapkričio sąskaita"
    " užsakymų kiekį kodą vardą pavardė būtų turėtų tūkstančių žiūrėti gražų ėjo išsiųsta pažymėta šviežių"
    " Joniškis Kupiškis Radviliškis Anykščiai Šakiai miškas iškart kiškiai ryškus mažesnis dažnai Įrašas",
    "Latvian": "Rīga Liepāja Rēzekne Jūrmala Jēkabpils Cēsis Kuldīga Sigulda Ķekava Ādaži Bērziņš Kalniņš"
    " Ozoliņš Jansons Liepiņš Krūmiņš Zariņš Ābele Jānis Pēteris Māris Andrējs Līga Ilzē Inguna Kristīne"
    " Zigrīda Ģirts Kārlis Mārtiņš iela pilsēta nedēļa mēnesis gads šodien jūnijs jūlijs pavārs latviešu"
    " vārds uzvārds tālrunis daudzums cena pasūtījums piegāde skaņa ķīmija ļoti ģimene ēdiens būt vairāk"
    " trīs četri seši labāk rītdiena brālis māsa māte tēvs zāle gaļa zeme ūdens ceļš galvenā lielākā ēka"
    " jāiet nāk sēklas vēl kā tā tās rakstā stāsts krūze skrūve grūti sūtīts",
    "Estonian": "Tõnu Jõgi Kõrgessaare Põlva Võru Jõhvi Pärnu Jõgeva Viljandi Põltsamaa Mäe Järve Rääma"
    " Ülle Jüri Kõiv Mägi Tamm Rebane Sõber Õunapuu Kärt Pääsuke töö üks kõik kõrge võib näide lühike sõna"
    " päev nädal märts jõulud aadress müük ostjä hõbe tööleping šokolaad žanr püha küla põhi lõuna ülikool",
    "Vietnamese": "Nguyễn Trần Lê Phạm Hoàng Huỳnh Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Hà Nội Đà Nẵng Cần Thơ"
    " Huế Hải Phòng Việt Nam Thành phố đường quận phường số điện thoại người được không của và là có một",
    "Russian": "Москва Санкт Петербург Новосибирск Екатеринбург Казань Нижний Новгород Челябинск Самара Омск"
    " Ростов Уфа Красноярск Пермь Воронеж Волгоград Иванов Петров Сидоров Смирнов Кузнецов Попов Васильев"
    " Соколов Михайлов Новиков Иван Александр Дмитрий Сергей Андрей Алексей Анна Мария Елена Ольга Наталья"
    " Татьяна Екатерина имя фамилия отчество адрес телефон город улица дом квартира дата сумма количество"
    " цена товар название описание статус заказ клиент номер год месяц день неделя январь февраль апрель"
    " что это как для или если только можно нужно был была есть нет да все они она мы вы при после перед"
    " компания ООО общество руб шт область район Россия русский язык слово молоко хлеб книга школа врач",
    "Ukrainian": "Київ Харків Одеса Дніпро Львів Запоріжжя Кривий Ріг Миколаїв Вінниця Херсон Полтава Чернігів"
    " Шевченко Ковальчук Бондаренко Ткаченко Кравченко Олійник Мельник Лисенко Марія Оксана Наталія Юрій"
    " Сергій Андрій Олександр Дмитро Їжак Євген Ґанок ім'я прізвище адреса місто вулиця телефон кількість ціна"
    " назва опис замовлення клієнт рік місяць день тиждень січень лютий березень що це як для або якщо є",
    "Bulgarian": "София Пловдив Варна Бургас Русе Стара Загора Иванов Георгиев Димитров Петрова Стоянов"
    " Николов Ангелов Христов Мария Йордан Тодор Веселин Пенка улица град телефон количество цена дата"
    " въпрос ъгъл българия български със във към първи втори също когато това което този всички години",
    "Greek": "Αθήνα Θεσσαλονίκη Πάτρα Ηράκλειο Λάρισα Βόλος Ιωάννινα Χανιά Ρόδος Καβάλα Κέρκυρα Σπάρτη Ναύπλιο"
    " Γιώργος Γεώργιος Ιωάννης Δημήτρης Κωνσταντίνος Νίκος Νικόλαος Μαρία Ελένη Αικατερίνη Σοφία Άννα"
    " Παπαδόπουλος Παπαδάκης Οικονόμου Γεωργίου Δημητρίου όνομα επώνυμο διεύθυνση τηλέφωνο πόλη οδός αριθμός"
    " ημερομηνία ποσό ποσότητα τιμή περιγραφή προϊόν πελάτης παραγγελία σύνολο έτος μήνας ημέρα Ιανουάριος"
    " και το του της την των στο στη για με από είναι που δεν θα να ένα μια έχει αυτό όλα καλημέρα ευχαριστώ",
    "Hebrew": "ירושלים תל אביב חיפה באר שבע נתניה אשדוד רמת גן כהן לוי מזרחי פרץ ביטון דוד משה יוסף אברהם יעקב"
    " שרה רחל לאה מרים חנה שם משפחה כתובת טלפון עיר רחוב מספר תאריך סכום כמות מחיר תיאור מוצר לקוח הזמנה"
    " שנה חודש יום שבוע של את על עם לא כן זה היא הוא אני אנחנו אתה מה מי איך שלום תודה בוקר טוב ערב ישראל",
    "Arabic": "القاهرة الإسكندرية الرياض جدة مكة المدينة دمشق بغداد بيروت عمان الجزائر تونس الرباط محمد أحمد علي"
    " حسن حسين عبد الله فاطمة عائشة خديجة مريم سارة الاسم العنوان الهاتف الشارع رقم تاريخ المبلغ الكمية السعر"
    " الوصف المنتج العميل الطلب السنة الشهر اليوم الأسبوع من إلى في على عن مع هذا هذه التي الذي كان لا نعم"
    " مرحبا شكرا صباح الخير مساء العربية مدرسة جامعة كتاب بيت شركة يوسف إبراهيم نور خالد سعيد ليلى",
    "Thai": "กรุงเทพ กรุงเทพมหานคร เชียงใหม่ ภูเก็ต ขอนแก่น นครราชสีมา สงขลา ชลบุรี สมชาย สมศักดิ์ สมหญิง ประเสริฐ"
    " วิชัย สุดา มาลี นภา ชื่อ นามสกุล ที่อยู่ โทรศัพท์ จังหวัด อำเภอ ถนน เลขที่ วันที่ จำนวน ราคา รายละเอียด สินค้า"
    " ลูกค้า สั่งซื้อ ปี เดือน วัน สัปดาห์ และ ของ ที่ เป็น ไม่ ใช่ มี ได้ ให้ ใน จาก กับ สวัสดี ขอบคุณ ประเทศไทย",
}

#: Common characters by language, for scripts with thousands of characters.
CHARACTERS = {
    "Chinese": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发"
    "后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从"
    "想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体"
    "政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
    "解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计"
    "管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设"
    "式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔张李王刘陈杨赵"
    "黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田"
    "任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段漕钱汤尹黎易常武乔贺赖龚文京津沪渝广州深圳成都"
    "武汉杭南西安重庆苏姓址话省县街号单价额商户订货款备注编联系邮箱产描述状态仓库部门职经销售客",
    "Traditional": "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過"
    "發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只"
    "從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文"
    "體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比"
    "員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件"
    "計管期市直德資命山金指許統區保至隊形社便空決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設"
    "式色路記南品住告類求據程北邊死張該交規萬取望覺術領共確傳師觀清今切院讓識候帶導爭運陳林黃張李王吳劉蔡楊"
    "許鄭謝洪郭邱曾廖賴徐周葉蘇莊呂江何蕭羅高潘簡朱鍾彭游詹胡施沈余盧梁趙顏柯翁魏孫戴台臺北高雄中南新竹桃園"
    "基隆嘉義屏東花蓮縣姓址街號單價額商戶訂貨款備註編聯絡郵箱描述狀態倉庫部門職銷售客",
    "Japanese": "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四"
    "定今回新場金員九入選立開手米力学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意"
    "法不来作性的要用制治度務強気小七成期公持野協取都和統以機平総加山思家話世受区領多県続進正安設保改数記院女"
    "初北午指権心界支第産結百派点教報済書府活原先共得解名交資予川向際査勝面委告軍文反元重近千考判認画海参売利"
    "組知案道信策集在件団別物側任引使求所次水半品昨論計死官増係感特情投示変打男基私各始島直両朝革価式確村提運"
    "終挙果西勢減台広容必応演電歳住争談能無再位置企真流格有疑口過局少放税検藤沢松木村鈴佐伊渡加斎井林清崎森池"
    "橋石阿部岡藤後谷坂辺福坊遠青岩原太郎美恵花翔葵蓮陽菜結衣阪横浜名古屋札幌神戸福岡仙台住所氏番号電話郵便"
    "商品価格数量顧客注文日付備考売上単合計部署役職担当納請求書",
    "Korean": "이다는의에을를가은로고하지기사인도리서한자나대시어정아부일과수주보전해그라장으제스들만게원동구상공"
    "성국비구여조신소자경영화용우마미바유관무선방안진현박김최강윤임오한신권황송류홍전문손배백허남심노하곽"
    "성차주우민구나민유진지엄채원천방공현함변염석선설길연위표명기반왕금옥육인맹제모울산광천세종충북남라상강릉"
    "수원번호름소락처전화주격량품객날짜월년요계합명설태번값제목내판매고서울역시군읍면길로층등록완료취배달결준생",
}
