//! Text put into a file at byte offsets, nested as the expressions are, and where each piece of it
//! stands in the result. Lines keep their numbers: nothing that is put in holds a line end.

use std::ops::Range;

/// What is put in for one mutant.
#[derive(Debug)]
struct Piece {
    at: usize,
    /// Closing pieces stand before opening ones; inner before outer for those, else the reverse.
    order: (u8, isize),
    text: String,
    /// Mutants that end when this piece does not compile.
    ids: Vec<u32>,
}

/// All changes of one file.
#[derive(Debug, Default)]
pub struct Edits {
    pieces: Vec<Piece>,
    removed: Vec<Range<usize>>,
    /// Source ranges of the mutants, for errors that are reported inside them.
    around: Vec<(Range<usize>, Vec<u32>)>,
    count: isize,
}

/// A changed file.
#[derive(Debug)]
pub struct Changed {
    /// Its text.
    pub text: String,
    /// For each piece and each range: where it stands in the text, and for which mutants.
    places: Vec<(Range<usize>, Vec<u32>)>,
}

impl Edits {
    /// Puts `before` and `after` around a range.
    pub fn around(&mut self, range: &Range<usize>, before: String, after: String, ids: &[u32]) {
        self.count += 1;
        self.put(range.start, (1, self.count), before, ids);
        self.put(range.end, (0, -self.count), after, ids);
        self.around.push((range.clone(), ids.to_vec()));
    }

    /// Puts a text at one place: directly before what begins there.
    pub fn at(&mut self, at: usize, text: String, ids: &[u32]) {
        self.count += 1;
        self.put(at, (1, self.count), text, ids);
    }

    /// Replaces a range that holds no other change.
    pub fn replace(&mut self, range: Range<usize>, text: String, ids: &[u32]) {
        self.count += 1;
        self.put(range.start, (1, self.count), text, ids);
        self.removed.push(range);
    }

    fn put(&mut self, at: usize, order: (u8, isize), text: String, ids: &[u32]) {
        let ids = ids.to_vec();
        self.pieces.push(Piece {
            at,
            order,
            text,
            ids,
        });
    }

    /// The changed text.
    pub fn apply(mut self, source: &str) -> Changed {
        self.pieces.sort_by_key(|piece| (piece.at, piece.order));
        self.removed.sort_by_key(|range| range.start);
        let mut text = String::new();
        let mut places = Vec::new();
        // Offsets of the source in the result, by where the source is copied from.
        let mut moved = Vec::new();
        let mut from = 0;
        let mut removed = self.removed.iter().peekable();
        let mut copy = |text: &mut String, from: &mut usize, to: usize| {
            while *from < to {
                if let Some(range) = removed.peek()
                    && range.start < to
                    && *from <= range.start
                {
                    moved.push((*from, text.len()));
                    text.push_str(&source[*from..range.start]);
                    *from = range.end;
                    removed.next();
                    continue;
                }
                moved.push((*from, text.len()));
                text.push_str(&source[*from..to]);
                *from = to;
            }
        };
        for piece in &self.pieces {
            copy(&mut text, &mut from, piece.at);
            let begin = text.len();
            text.push_str(&piece.text);
            places.push((begin..text.len(), piece.ids.clone()));
        }
        copy(&mut text, &mut from, source.len());
        let place = |at: usize| {
            let index = moved.partition_point(|(from, _)| *from <= at);
            let (from, to) = moved[index.saturating_sub(1)];
            to + (at - from)
        };
        for (range, ids) in &self.around {
            places.push((place(range.start)..place(range.end - 1) + 1, ids.clone()));
        }
        Changed { text, places }
    }
}

impl Changed {
    /// The mutants of the smallest piece or range around this place of the changed text.
    pub fn blamed(&self, at: &Range<usize>) -> &[u32] {
        let holds = |range: &Range<usize>| range.start <= at.start && at.end <= range.end;
        let found = self
            .places
            .iter()
            .filter(|(range, ids)| holds(range) && !ids.is_empty());
        found
            .min_by_key(|(range, _)| range.len())
            .map_or(&[], |(_, ids)| ids.as_slice())
    }

    /// The mutants of pieces that touch this place: an error may be about all of an expression.
    pub fn touched(&self, at: &Range<usize>) -> Vec<u32> {
        let touches = |range: &Range<usize>| range.start < at.end && at.start < range.end;
        let found = self.places.iter().filter(|(range, _)| touches(range));
        found.flat_map(|(_, ids)| ids.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_changes_keep_their_nesting() {
        let mut edits = Edits::default();
        edits.around(&(0..5), "(".into(), ")".into(), &[1]);
        edits.around(&(0..1), "[".into(), "]".into(), &[2]);
        edits.replace(2..3, "*".into(), &[3]);
        edits.around(&(4..5), "{".into(), "}".into(), &[4]);
        let changed = edits.apply("a + b;");
        assert_eq!(changed.text, "([a] * {b});");
        assert_eq!(changed.blamed(&(2..3)), [2]);
        assert_eq!(changed.blamed(&(5..6)), [3]);
        assert_eq!(changed.blamed(&(8..9)), [4]);
        assert_eq!(changed.blamed(&(4..8)), [1]);
        assert_eq!(changed.blamed(&(11..12)), [] as [u32; 0]);
    }
}
