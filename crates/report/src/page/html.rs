//! The page: head, styles, order. Sections stand in [`super::sections`].

use zeuge_appraise::{Word, threats::Protection};

use super::{Report, draw, sections, words};
use crate::{
    Language, assessed, said,
    text::{sentence, word},
};

/// Letters that mean something in HTML, made harmless; also inside attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() && letter != '\n' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// The whole page in one language: no scripts, nothing fetched, printable on A4.
#[must_use]
pub fn page(report: &Report<'_>, language: Language) -> String {
    let code = language.pick("en", "de");
    let title = words::TITLE.get(language);
    let name = report.file.unwrap_or("-");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"{code}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n<title>{title}: {}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<a class=\"skip\" href=\"#report\">{}</a>\n",
        escape(name),
        words::SKIP.get(language)
    );
    out.push_str(&head(report, language));
    out.push_str("<main id=\"report\">\n");
    out.push_str(&short(report, language));
    out.push_str(&sections::all(report, language));
    out.push_str("</main>\n");
    out.push_str(&foot(report, language));
    out.push_str("</body>\n</html>\n");
    out
}

fn head(report: &Report<'_>, language: Language) -> String {
    let verdict = report.verdict;
    let product = said(verdict.product.as_deref().unwrap_or(""), language);
    format!(
        "<header>\n<p class=\"brand\">Zeuge</p>\n<h1>{}</h1>\n<p class=\"meta\">{} · {} {} · {} \
         {}</p>\n</header>\n",
        words::TITLE.get(language),
        escape(report.file.unwrap_or("-")),
        verdict.kind.word(),
        escape(&product),
        words::AT.get(language),
        verdict.at
    )
}

/// The page for anyone: the word, nine adversaries, what would help, whom to trust.
fn short(report: &Report<'_>, language: Language) -> String {
    let verdict = report.verdict;
    let class = match verdict.word {
        Word::Affirming => "good",
        Word::Warning => "warn",
        Word::Unavailable => "open",
        Word::Contraindicated | Word::Malformed | Word::Untrusted => "bad",
    };
    let mut out = format!(
        "<section class=\"short\" aria-labelledby=\"short\">\n<h2 id=\"short\">{}</h2>\n\
         <p class=\"verdict {class}\"><strong>{}</strong><br>{}.</p>\n",
        words::FOR_ANYONE.get(language),
        word(verdict.word, language),
        sentence(verdict.word, language)
    );
    out.push_str(&format!(
        "<table class=\"who\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">{}</th>\
         <th scope=\"col\">{}</th><th scope=\"col\">{}</th></tr></thead>\n<tbody>\n",
        words::AGAINST.get(language),
        words::WHO.get(language),
        words::WORD.get(language),
        words::MAIN_REASON.get(language)
    ));
    for one in &verdict.adversaries {
        out.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>\n",
            escape(&assessed::who(one.who, report.knowledge, language)),
            badge(one.protection, language),
            escape(&sections::plain_reason(report, one, language))
        ));
    }
    out.push_str("</tbody>\n</table>\n");
    let helpful = sections::helpful(report, language);
    if !helpful.is_empty() {
        out.push_str(&format!(
            "<h3>{}</h3>\n<ul>\n",
            words::WHAT_NOW.get(language)
        ));
        for line in helpful {
            out.push_str(&format!("<li>{}</li>\n", escape(&line)));
        }
        out.push_str("</ul>\n");
    }
    out.push_str(&format!("<h3>{}</h3>\n", words::TRUST.get(language)));
    let chain = draw::chain(report, language);
    if chain.is_empty() {
        out.push_str(&format!("<p>{}</p>\n", words::NO_ROOT.get(language)));
    } else {
        out.push_str(&format!("<figure>{chain}</figure>\n"));
    }
    out.push_str("</section>\n");
    out
}

/// A word with a sign before it, so that colour is never the only difference.
pub(super) fn badge(protection: Protection, language: Language) -> String {
    let (class, sign) = match protection {
        Protection::Protected => ("good", "✓"),
        Protection::Conditional => ("warn", "!"),
        Protection::Unknown => ("open", "?"),
        Protection::NotProtected => ("bad", "✗"),
    };
    format!(
        "<span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {}</span>",
        assessed::protection(protection, language)
    )
}

fn foot(report: &Report<'_>, language: Language) -> String {
    let signer = match report.signer {
        Some(signer) => format!("{}: {}.", words::SIGNED.get(language), escape(signer)),
        None => words::UNSIGNED.get(language).to_owned(),
    };
    let witness = report.witnessed.map_or_else(String::new, |told| {
        let (witness, leaf) = (escape(&told.witness), told.leaf);
        match language {
            Language::En => format!(
                " The verdict is signed by the witness {witness} and stands in its log as entry \
                 {leaf}."
            ),
            Language::De => format!(
                " Das Urteil ist vom Zeugen {witness} unterschrieben und steht in seinem Protokoll \
                 als Eintrag {leaf}."
            ),
        }
    });
    let signer = signer + &witness;
    let knowledge = report.knowledge;
    format!(
        "<footer>\n<p>{} {}</p>\n<p>{} · {} {} ({}), sha256:{}</p>\n</footer>\n",
        words::EXPIRES.get(language),
        signer,
        escape(report.program),
        words::KNOWLEDGE.get(language),
        knowledge.id().version,
        escape(knowledge.state_of()),
        hex::encode(knowledge.id().digest)
    )
}

/// Every pair of text and ground has a contrast of at least 7 to 1.
const STYLE: &str = "
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f5f6f3;color:#1d2733;font:16px/1.55 'Source Sans 3','Segoe UI',Roboto,\
'Helvetica Neue',Arial,sans-serif;overflow-wrap:anywhere;hyphens:auto}
header,main,footer{max-width:54rem;margin:0 auto;padding:0 1.5rem}
header{padding-top:2.2rem}
.skip{position:absolute;left:-100rem;top:0;background:#fff;color:#12406b;padding:.6rem 1rem}
.skip:focus{left:1rem;top:1rem}
.brand{margin:0;font-weight:600;letter-spacing:.14em;text-transform:uppercase;font-size:.78rem;\
color:#1c5a54}
h1{font-size:2.1rem;line-height:1.15;margin:.15rem 0 .4rem;font-weight:650}
h2{font-size:1.4rem;line-height:1.25;margin:0 0 .9rem;font-weight:650}
h3{font-size:1.08rem;margin:1.7rem 0 .5rem;font-weight:650}
.meta{margin:0 0 1.4rem;color:#46525f}
section{background:#fff;border:1px solid #d9ddd8;border-radius:12px;padding:1.5rem 1.7rem;\
margin:0 0 1.3rem}
.verdict{border-left:6px solid;border-radius:8px;padding:.9rem 1.2rem;margin:0 0 1.4rem;\
font-size:1.05rem}
.verdict strong{font-size:1.35rem;letter-spacing:.02em}
.good{background:#e4f3ea;color:#0c4a2c;border-color:#1d7a4b}
.warn{background:#fcf0d6;color:#5f3b00;border-color:#b97a10}
.open{background:#e8ecf1;color:#2c3845;border-color:#6b7b8c}
.bad{background:#fae5e2;color:#7a1712;border-color:#b83228}
table{border-collapse:collapse;width:100%;table-layout:fixed;margin:.4rem 0 .8rem;font-size:.94rem}
caption{text-align:left;font-weight:650;padding:0 0 .5rem}
th,td{text-align:left;vertical-align:top;padding:.55rem .7rem .55rem 0;\
border-bottom:1px solid #e3e6e2}
thead th{font-size:.8rem;color:#46525f;font-weight:600;border-bottom:2px solid #c9cfc8}
tbody th{font-weight:600}
.who th:first-child{width:31%}.who th:nth-child(2){width:10.8rem}
.checks th:first-child{width:28%}.checks th:nth-child(2){width:7rem}
.threats th:first-child{width:24%}.threats th:nth-child(2){width:40%}
.facts th:first-child{width:32%}
.badge{display:inline-block;border:1px solid;border-radius:999px;padding:.05rem .65rem;\
font-size:.86rem;font-weight:600;hyphens:none;overflow-wrap:normal;white-space:nowrap}
.state{display:inline-block;font-size:.78rem;font-weight:700;letter-spacing:.03em;\
border-radius:5px;padding:.05rem .45rem;border:1px solid;overflow-wrap:normal}
ul{margin:.3rem 0 .8rem;padding-left:1.25rem}
li{margin:.2rem 0}
code,.mono{font:.86em/1.5 ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;\
overflow-wrap:anywhere;hyphens:none}
figure{margin:.6rem 0}
svg{width:100%;height:auto;display:block}
svg text{font:13px 'Source Sans 3','Segoe UI',Roboto,Arial,sans-serif;fill:#1d2733}
svg .head{font-weight:600;font-size:12px;fill:#46525f}
svg .box{fill:#f2f5f8;stroke:#7d8b99}
svg .root{fill:#e6f0ee;stroke:#1c5a54}
svg .arrow,svg .rule{fill:none;stroke:#7d8b99}
svg .rule{stroke:#e3e6e2}
svg .tip{fill:#7d8b99}
svg .mark{font-size:17px}
svg .ok{fill:#0c4a2c}svg .open{fill:#2c3845;background:none}svg .bad{fill:#7a1712}
.legend,.note{color:#46525f;font-size:.88rem}
.nb{white-space:nowrap}
.sub{margin:.25rem 0 0;color:#46525f;font-size:.88rem}
a{color:#12406b}
a:focus-visible{outline:3px solid #b97a10;outline-offset:2px}
footer{padding-bottom:2.5rem;color:#46525f;font-size:.88rem}
@media screen and (max-width:44rem){
header,main,footer{padding:0 .8rem}section{padding:1.1rem 1rem}
.who thead{position:absolute;left:-100rem}
.who tr,.who th,.who td{display:block;width:auto!important;border:0;padding:.15rem 0}
.who tr{border-bottom:1px solid #e3e6e2;padding:.5rem 0}
}
@page{size:A4;margin:16mm 15mm 18mm}
@media print{
body{background:#fff;font-size:9.6pt;line-height:1.42}
header,main,footer{max-width:none;padding:0}
header{padding-top:0}
.skip{display:none}
section{border:0;border-radius:0;padding:0;margin:0 0 7mm}
.short{break-after:page}
.short{line-height:1.36}
.short table{font-size:8.2pt;margin:.1rem 0 .3rem}
.short th,.short td{padding:.16rem .5rem .16rem 0}
.short .badge{font-size:7.8pt;padding:0 .5rem}
.short ul{font-size:8.8pt;margin:.1rem 0 .3rem}.short li{margin:0}
.short figure{margin:.2rem 0}.short svg{width:76%}.short thead th{font-size:7.6pt}
.who th:first-child{width:27%}.who th:nth-child(2){width:8.4rem}
.verdict{padding:.35rem .8rem;margin-bottom:.5rem;font-size:10pt}.verdict strong{font-size:12pt}
h1{font-size:17pt}h2{font-size:13pt;margin-bottom:.35rem}h3{font-size:10.8pt;margin:.5rem 0 .2rem}
.brand{font-size:7.5pt}.meta{font-size:8.6pt;margin-bottom:.6rem}
h2,h3,caption{break-after:avoid}
tr,li,figure,.verdict{break-inside:avoid}
thead{display:table-header-group}
.good,.warn,.open,.bad{print-color-adjust:exact;-webkit-print-color-adjust:exact}
a{color:inherit;text-decoration:none}
}
";
