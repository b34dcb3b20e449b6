//! A small terminal: rows of a width that wraps lines, a cursor and a saved one, and what has scrolled away.

use unicode_width::UnicodeWidthChar;

pub(crate) struct Terminal {
    width: usize,
    rows: Vec<Vec<char>>,
    scrolled: Vec<String>,
    at: (usize, usize),
    saved: (usize, usize),
    wraps: bool,
    /// Bytes of a control sequence that is not whole.
    rest: String,
}

impl Terminal {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let rows = vec![Vec::new(); height];
        Self {
            width,
            rows,
            scrolled: Vec::new(),
            at: (0, 0),
            saved: (0, 0),
            wraps: true,
            rest: String::new(),
        }
    }

    fn down(&mut self) {
        if self.at.0 + 1 == self.rows.len() {
            self.scrolled.push(self.rows.remove(0).into_iter().collect());
            self.rows.push(Vec::new());
        } else {
            self.at.0 += 1;
        }
    }

    fn put(&mut self, c: char) {
        if self.at.1 >= self.width {
            if self.wraps {
                self.down();
                self.at.1 = 0;
            } else {
                self.at.1 = self.width - 1;
            }
        }
        let (row, column) = self.at;
        let row = &mut self.rows[row];
        row.resize(row.len().max(column + 1), ' ');
        row[column] = c;
        self.at.1 += c.width().unwrap_or(0);
    }

    /// Obeys output, which may end within a control sequence.
    pub(crate) fn obey(&mut self, text: &str) {
        let text = std::mem::take(&mut self.rest) + text;
        let mut rest = &*text;
        while let Some(c) = rest.chars().next() {
            match c {
                '\x1b' => match escape(&rest[1..]) {
                    Some((order, after)) => {
                        self.escape(order);
                        rest = after;
                        continue;
                    }
                    None => {
                        self.rest = rest.to_owned();
                        return;
                    }
                },
                '\n' => {
                    self.down();
                    self.at.1 = 0;
                }
                '\r' => self.at.1 = 0,
                c => self.put(c),
            }
            rest = &rest[c.len_utf8()..];
        }
    }

    fn escape(&mut self, order: &str) {
        let count = |order: &str| order[1..order.len() - 1].parse::<usize>().expect("a number");
        match order {
            "D" => self.down(),
            "7" => self.saved = self.at,
            "8" => self.at = self.saved,
            "[E" => {
                self.down();
                self.at.1 = 0;
            }
            "[J" => {
                self.erase_line();
                self.rows[self.at.0 + 1..].iter_mut().for_each(Vec::clear);
            }
            "[K" => self.erase_line(),
            "[?7l" => self.wraps = false,
            "[?7h" => self.wraps = true,
            up if up.ends_with('A') => self.at.0 = self.at.0.saturating_sub(count(up)),
            back if back.ends_with('D') => self.at.1 = self.at.1.saturating_sub(count(back)),
            colour if colour.ends_with('m') => {}
            other => panic!("an order that is not known: {other:?}"),
        }
    }

    fn erase_line(&mut self) {
        let (row, column) = self.at;
        self.rows[row].truncate(column);
    }

    /// Returns the text on the screen.
    pub(crate) fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>());
        rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Returns the text on the screen, and above it what has scrolled away.
    pub(crate) fn whole_text(&self) -> String {
        let scrolled: String = self.scrolled.iter().map(|row| format!("{row}\n")).collect();
        scrolled + &self.text()
    }
}

/// Splits text behind an escape character into the order and what follows it.
fn escape(text: &str) -> Option<(&str, &str)> {
    let end = match text.strip_prefix('[') {
        None => text.chars().next()?.len_utf8(),
        Some(_) => text.find(char::is_alphabetic)? + 1,
    };
    Some(text.split_at(end))
}
