//! Columns for people. Cuts nothing and colours nothing.

/// Lines of columns, each as wide as its widest cell; the first line is the head.
pub(super) fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$}   "));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Seconds as people say them.
pub(super) fn span(secs: i64) -> String {
    match secs {
        ..0 => format!("-{}", span(secs.saturating_neg())),
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let line = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = super::table(&[line(["NODE", "X"]), line(["worker-1", ""])]);
        assert_eq!(text, "NODE       X\nworker-1\n");
        assert_eq!(super::span(i64::MIN), "-106751991167300 d");
        assert_eq!(super::span(119), "119 s");
    }
}
