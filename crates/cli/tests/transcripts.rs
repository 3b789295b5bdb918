//! The program as people see it: transcripts of command lines with what they answer.
//!
//! A transcript is text. `$ zeuge …` is a command line (words as in a shell, with double quotes),
//! run in a folder with the evidence of a toy machine; `? N` its exit code; lines after `> ` are
//! standard output, after `! ` standard error. `*` stands for any characters in a line, a line
//! `...` for any number of lines. What is not written must not be printed.

use std::{fs, path::Path, process::Command};

use zeuge_evidence::UnixTime;
use zeuge_sim::{Lie, Product, ReportSpec, ToyAmd};

/// Writes the toy's files: one honest machine, a few liars, an owner's documents.
fn toy(folder: &Path) {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file can be written");
    };
    let now = UnixTime::parse_rfc3339("2026-03-01T00:00:00Z").expect("an instant");
    let (amd, spec) = (ToyAmd::shared(), ReportSpec::new(Product::Milan));
    let honest = amd.tell(None, &spec, now);
    put("report.bin", &honest.evidence_file);
    put("table.bin", &honest.table_file());
    for (name, bytes) in &honest.endorsements {
        put(&format!("amd/{name}"), bytes);
        if name != "vcek.der" {
            put(&format!("no-leaf/{name}"), bytes);
        }
        if name != "crl.der" {
            put(&format!("no-list/{name}"), bytes);
        }
    }
    for (name, lie) in [
        ("debug.bin", Lie::PolicyDebug),
        ("short.bin", Lie::ReportLength),
        ("forged.bin", Lie::Signature),
    ] {
        put(name, &amd.tell(Some(lie), &spec, now).evidence_file);
    }
    put("trust.json", amd.trust_file(&[Product::Milan]).as_bytes());
    let measurement = hex::encode(spec.measurement);
    put(
        "values.toml",
        format!(
            "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"web\"\n\
             measurements = [\"{measurement}\"]\n"
        )
        .as_bytes(),
    );
    put(
        "misspelt.toml",
        b"schema = \"zeuge.policy.v1\"\n[snp]\nforbid_smtt = true\n",
    );
    put(
        "lenient.toml",
        b"schema = \"zeuge.policy.v1\"\n[snp]\ndangerous_allow_debug = \"a rehearsal\"\n",
    );
}

/// One command with what it must answer.
#[derive(Default)]
struct Step {
    line: usize,
    command: String,
    code: i32,
    out: Vec<String>,
    err: Vec<String>,
}

fn steps(transcript: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in transcript.lines().enumerate() {
        let (mark, rest) = line.split_at(line.len().min(2));
        if mark == "$ " {
            steps.push(Step {
                line: index + 1,
                command: rest.to_owned(),
                ..Step::default()
            });
            continue;
        }
        let Some(step) = steps.last_mut() else {
            continue;
        };
        match mark.trim_end() {
            "?" => step.code = rest.parse().expect("an exit code"),
            ">" => step.out.push(rest.to_owned()),
            "!" => step.err.push(rest.to_owned()),
            "" | "#" => {}
            _ => panic!("line {}: {line}", index + 1),
        }
    }
    steps
}

/// Words as a shell would split them; only double quotes are known.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for character in command.chars() {
        match character {
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            other => word.push(other),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether a line is as the pattern says; `*` stands for any characters.
fn line_fits(pattern: &str, line: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == line;
    };
    let Some(rest) = line.strip_prefix(before) else {
        return false;
    };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.into_iter().any(|at| line_fits(after, &rest[at..]))
}

fn text_fits(patterns: &[String], lines: &[&str]) -> bool {
    match (patterns.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((pattern, others)), _) if pattern == "..." => {
            (0..=lines.len()).any(|skipped| text_fits(others, &lines[skipped..]))
        }
        (Some((pattern, others)), Some((line, rest))) => {
            line_fits(pattern, line) && text_fits(others, rest)
        }
        _ => false,
    }
}

fn run(name: &str, transcript: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    toy(folder.path());
    let mut wrong = Vec::new();
    for step in steps(transcript) {
        let words = words(&step.command);
        assert_eq!(words[0], "zeuge", "{name}:{}", step.line);
        let output = Command::new(env!("CARGO_BIN_EXE_zeuge"))
            .args(&words[1..])
            .current_dir(folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the program runs");
        let out = String::from_utf8(output.stdout).expect("text");
        let err = String::from_utf8(output.stderr).expect("text");
        let out_lines: Vec<&str> = out.lines().collect();
        let err_lines: Vec<&str> = err.lines().collect();
        let code = output.status.code();
        if code != Some(step.code)
            || !text_fits(&step.out, &out_lines)
            || !text_fits(&step.err, &err_lines)
        {
            wrong.push(format!(
                "{name}:{}: {}\n? {code:?}\n{out}! {err}",
                step.line, step.command
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

macro_rules! transcripts {
    ($($test:ident = $file:literal;)+) => {
        $(#[test]
        fn $test() {
            run($file, include_str!(concat!("transcripts/", $file)));
        })+

        #[test]
        fn every_transcript_is_run() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
            let files = fs::read_dir(folder).expect("the folder of transcripts");
            assert_eq!(files.count(), [$($file),+].len());
        }
    };
}

transcripts! {
    help_is_an_answer = "help.txt";
    evidence_is_inspected = "inspect.txt";
    mistakes_of_usage_end_in_one = "usage.txt";
    verdicts_are_said_in_two_languages_and_json = "verify.txt";
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    toy(folder.path());
    let print = || {
        Command::new(env!("CARGO_BIN_EXE_zeuge"))
            .args(["verify", "--unbound", "a toy", "--endorsements", "amd"])
            .args(["--at", "2026-03-01T00:00:00Z", "--format", "json"])
            .args(["--dangerous-trust-sim", "trust.json", "report.bin"])
            .current_dir(folder.path())
            .output()
            .expect("the program runs")
            .stdout
    };
    let first = print();
    assert!(!first.is_empty());
    assert_eq!(first, print());
}
