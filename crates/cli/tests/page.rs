//! The trust report in a real Chromium: both languages, on a screen, on a phone, and printed.
//!
//! The page itself has no scripts; a page around it measures: nothing is wider than its paper, every
//! text stands out from its ground, headings and tables are those that a reader who listens needs.
#![expect(
    clippy::print_stdout,
    reason = "a test that is skipped says so, and where the pictures lie is worth reading"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use zeuge_evidence::UnixTime;
use zeuge_sim::{Product, ReportSpec, ToyAmd};

const AT: &str = "2026-03-01T00:00:00Z";

fn chromium() -> Option<PathBuf> {
    let found = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|path| path.exists());
    if found.is_none() {
        println!("skipped: the page in a real browser (Debian package chromium is not installed)");
    }
    found
}

/// Writes the page of a toy machine in this language.
fn page(folder: &Path, language: &str) -> PathBuf {
    let now = UnixTime::parse_rfc3339(AT).expect("an instant");
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Genoa), now);
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file");
    put("evidence.bin", &told.evidence_file);
    put(
        "trust.json",
        ToyAmd::shared().trust_file(&[Product::Genoa]).as_bytes(),
    );
    fs::create_dir_all(folder.join("amd")).expect("a folder");
    for (name, bytes) in &told.endorsements {
        put(&format!("amd/{name}"), bytes);
    }
    let out = folder.join(format!("report-{language}.html"));
    let output = Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .current_dir(folder)
        .args(["report", "--format", "html", "--lang", language, "--at", AT])
        .args([
            "--unbound",
            "a toy",
            "--hardware-only",
            "--endorsements",
            "amd",
        ])
        .args(["--dangerous-trust-sim", "trust.json", "--out"])
        .arg(&out)
        .arg("evidence.bin")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(10), "{output:?}");
    out
}

fn browse(chromium: &Path, folder: &Path, arguments: &[&str]) -> String {
    let profile = folder.join("profile");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-sync",
        ])
        .args([
            "--disable-component-update",
            "--allow-file-access-from-files",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .output()
        .expect("Chromium runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Measures a page at a width and says what is wrong with it, one line each.
fn measured(chromium: &Path, folder: &Path, page: &Path, width: u32) -> Vec<String> {
    let name = page.file_name().expect("a name").to_string_lossy();
    let around = folder.join(format!("around-{width}-{name}"));
    let script = include_str!("page/measure.js");
    let html = format!(
        "<!doctype html><meta charset=utf-8><style>body{{margin:0}}iframe{{border:0;width:\
         {width}px;height:12000px}}</style><iframe src=\"{name}\"></iframe><pre id=\"found\">not \
         measured</pre><script>{script}</script>"
    );
    fs::write(&around, html).expect("a file");
    let url = format!("file://{}", around.display());
    let size = format!("--window-size={},2000", width + 40);
    let dom = browse(
        chromium,
        folder,
        &["--virtual-time-budget=8000", &size, "--dump-dom", &url],
    );
    let found = dom.split("<pre id=\"found\">").nth(1).unwrap_or("");
    let found = found.split("</pre>").next().unwrap_or("");
    assert!(found.contains("measured "), "{found:?}");
    found
        .lines()
        .filter(|line| !line.starts_with("measured "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_is_whole_legible_and_well_formed_in_both_languages_on_every_width() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for language in ["en", "de"] {
        let page = page(folder.path(), language);
        for width in [360, 718, 1200] {
            let wrong = measured(&chromium, folder.path(), &page, width);
            assert!(
                wrong.is_empty(),
                "{language} at {width}: {}",
                wrong.join("\n")
            );
        }
    }
}

#[test]
fn the_page_prints_on_a4_and_begins_with_one_sheet_for_anyone() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keep = std::env::var_os("ZEUGE_PAGES").map(PathBuf::from);
    for language in ["en", "de"] {
        let page = page(folder.path(), language);
        let url = format!("file://{}", page.display());
        let pdf = folder.path().join(format!("report-{language}.pdf"));
        let print = format!("--print-to-pdf={}", pdf.display());
        browse(
            &chromium,
            folder.path(),
            &["--no-pdf-header-footer", &print, &url],
        );
        let bytes = fs::read(&pdf).expect("a PDF");
        let text = String::from_utf8_lossy(&bytes);
        // A4 in points, on every sheet.
        let sheets = text.matches("/MediaBox [0 0 594.95996 841.91998]").count()
            + text.matches("/MediaBox [0 0 595 842]").count()
            + text.matches("/MediaBox [0 0 594.95996 841.91996]").count();
        assert!(
            (4..40).contains(&sheets),
            "{language}: {sheets} sheets of A4"
        );
        if let Some(keep) = &keep {
            fs::copy(&page, keep.join(format!("report-{language}.html"))).expect("a copy");
            fs::copy(&pdf, keep.join(format!("report-{language}.pdf"))).expect("a copy");
            println!("kept in {}", keep.display());
        }
        whole(&page, &pdf, language);
        let shot = folder.path().join(format!("report-{language}.png"));
        let to = format!("--screenshot={}", shot.display());
        browse(
            &chromium,
            folder.path(),
            &["--hide-scrollbars", "--window-size=1000,1500", &to, &url],
        );
        assert!(fs::metadata(&shot).expect("a picture").len() > 20_000);
    }
}

/// Letters and digits alone: line ends, hyphens at them and the signs of lists fall away.
fn letters(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_alphanumeric())
        .collect()
}

/// The texts of the elements of a page that hold text and nothing but marks inside it.
fn blocks(html: &str) -> Vec<String> {
    let body = html.split("<main").nth(1).expect("a main part");
    let mut out = Vec::new();
    for tag in ["<li>", "<p ", "<p>", "<td", "<th ", "<h2", "<h3"] {
        for part in body.split(tag).skip(1) {
            let name = &tag[1..3];
            let end = part.find(&format!("</{}", name.trim_end_matches([' ', '>'])));
            let inside = &part[..end.unwrap_or(0)];
            let inside = match tag.ends_with('>') {
                true => inside,
                false => inside.split_once('>').map_or("", |(_, text)| text),
            };
            // Of a cell, what stands before the first block inside it.
            let inside = inside.split("<p").next().unwrap_or("");
            let mut text = String::new();
            let mut marked = false;
            for letter in inside.chars() {
                match letter {
                    '<' => marked = true,
                    '>' => marked = false,
                    letter if !marked => text.push(letter),
                    _ => {}
                }
            }
            for (entity, letter) in [
                ("&lt;", "<"),
                ("&gt;", ">"),
                ("&quot;", "\""),
                ("&#39;", "'"),
                ("&amp;", "&"),
            ] {
                text = text.replace(entity, letter);
            }
            out.push(letters(&text));
        }
    }
    out.retain(|text| text.chars().count() >= 4);
    out
}

/// Every text of the page stands on paper, to its last letter and inside the margins.
fn whole(page: &Path, pdf: &Path, language: &str) {
    let told = |arguments: &[&str]| {
        let output = Command::new("pdftotext")
            .args(arguments)
            .arg(pdf)
            .arg("-")
            .output();
        output.ok().filter(|output| output.status.success())
    };
    let Some(raw) = told(&["-raw", "-enc", "UTF-8"]) else {
        println!("skipped: what stands on paper (Debian package poppler-utils is not installed)");
        return;
    };
    let printed = letters(&String::from_utf8_lossy(&raw.stdout));
    let html = fs::read_to_string(page).expect("a page");
    let blocks = blocks(&html);
    assert!(blocks.len() > 300, "{language}: {}", blocks.len());
    for block in &blocks {
        let first: String = block.chars().take(24).collect();
        let count = block.chars().count();
        let last: String = block.chars().skip(count.saturating_sub(24)).collect();
        for part in [first, last] {
            assert!(
                printed.contains(&part),
                "{language}: {part:?} of {block:?} is not on paper"
            );
        }
    }
    let boxes = told(&["-bbox"]).expect("it ran before");
    let boxes = String::from_utf8_lossy(&boxes.stdout).into_owned();
    let mut words = 0;
    for line in boxes
        .lines()
        .filter(|line| line.trim_start().starts_with("<word "))
    {
        let at = |name: &str| -> f64 {
            let value = line.split(&format!("{name}=\"")).nth(1).expect(name);
            value
                .split('"')
                .next()
                .expect("a value")
                .parse()
                .expect("a number")
        };
        // A4 in points, with at least half of each margin kept free.
        let inside =
            at("xMin") >= 20.0 && at("xMax") <= 575.0 && at("yMin") >= 20.0 && at("yMax") <= 822.0;
        assert!(inside, "{language}: outside the paper's margins: {line}");
        words += 1;
    }
    assert!(words > 3000, "{language}: {words} words");
}

#[test]
fn nothing_in_the_drawings_or_the_page_is_shortened() {
    let folder = tempfile::tempdir().expect("a folder");
    for language in ["en", "de"] {
        let text = fs::read_to_string(page(folder.path(), language)).expect("a page");
        let body = text.split("<main").nth(1).expect("a main part");
        assert!(!body.contains('…'), "{language}");
    }
}

#[test]
fn the_page_holds_no_script_and_fetches_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for language in ["en", "de"] {
        let text = fs::read_to_string(page(folder.path(), language)).expect("a page");
        for forbidden in [
            "<script",
            "javascript:",
            " src=",
            "@import",
            "url(http",
            "<link",
        ] {
            assert!(!text.contains(forbidden), "{language}: {forbidden}");
        }
        assert!(text.contains(&format!("<html lang=\"{language}\">")));
    }
}
