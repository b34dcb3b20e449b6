//! Draws the pages on a terminal, and takes keys. Owns the terminal's mode; what the lines are is `view`'s.

use std::io::{self, Stdout, Write};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::Print;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::board::{Board, Snapshot, State};
use crate::table::cut;
use crate::view::{Choice, Page};

/// Shows the pages until the user exits.
pub(crate) async fn run(board: &Board, choice: Choice) -> io::Result<()> {
    let mut screen = Screen::open()?;
    let (sender, mut events) = mpsc::channel(16);
    // The thread ends with the process, or at the first event after the receiver is gone.
    std::thread::spawn(move || while event::read().is_ok_and(|event| sender.blocking_send(event).is_ok()) {});
    let mut changes = board.changes();
    let mut ages = interval(SECOND);
    ages.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut desk = Desk { choice, ..Desk::default() };
    let mut shown = board.snapshot();
    loop {
        if !desk.paused {
            shown = board.snapshot();
        }
        let (width, height) = size().unwrap_or((80, 24));
        screen.draw(&desk.lines(&shown, usize::from(width), usize::from(height)))?;
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if desk.press(key) {
                        return Ok(());
                    }
                }
                Some(_) => {}
                None => return Err(io::Error::other("the terminal is gone")),
            },
            _ = ages.tick() => {}
            changed = async { sleep(PAUSE).await; changes.changed().await } => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Between two drawings that no key asks for.
const PAUSE: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// What the user has chosen.
#[derive(Debug, Default)]
struct Desk {
    page: Page,
    choice: Choice,
    /// The filter that is being typed; none if it is not.
    typing: bool,
    paused: bool,
    /// Lines that are scrolled away.
    above: usize,
}

impl Desk {
    /// Obeys a key; true if it exits.
    fn press(&mut self, key: KeyEvent) -> bool {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return true;
        }
        if self.typing {
            self.type_in(key.code);
            return false;
        }
        match key.code {
            KeyCode::Char('q') => return true,
            KeyCode::Tab => {
                self.page = self.page.other();
                self.above = 0;
            }
            KeyCode::Char('s') => self.choice.sort = self.choice.sort.next(),
            KeyCode::Char('r') => self.choice.reverse = !self.choice.reverse,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.choice.service.clear(),
            KeyCode::Up => self.above = self.above.saturating_sub(1),
            KeyCode::Down => self.above = self.above.saturating_add(1),
            KeyCode::PageUp => self.above = self.above.saturating_sub(SCREENFUL),
            KeyCode::PageDown => self.above = self.above.saturating_add(SCREENFUL),
            KeyCode::Home => self.above = 0,
            _ => {}
        }
        false
    }

    fn type_in(&mut self, code: KeyCode) {
        self.above = 0;
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.choice.service.clear();
                self.typing = false;
            }
            KeyCode::Backspace => drop(self.choice.service.pop()),
            KeyCode::Char(c) => self.choice.service.push(c),
            _ => {}
        }
    }

    /// Returns the lines of a screen: the services, the page, the keys.
    fn lines(&mut self, shown: &Snapshot, width: usize, height: usize) -> Vec<String> {
        let up = shown.services.iter().filter(|(_, state)| *state == State::Up).count();
        let mut head = format!("{up} of {} services", shown.services.len());
        for missing in shown.missing() {
            head += &format!(" · {missing}");
        }
        let chosen = self.choice.apply(shown.clone());
        let mut page = self.page.lines(&chosen).into_iter();
        let titles = page.next().unwrap_or_default();
        let page: Vec<String> = page.collect();
        let room = height.saturating_sub(4).max(1);
        self.above = self.above.min(page.len().saturating_sub(room));
        let more = page.len().saturating_sub(self.above.saturating_add(room));
        let mut lines = vec![head, titles];
        lines.extend(page.into_iter().skip(self.above).take(room));
        lines.resize(room.saturating_add(2), String::new());
        lines.push(if more > 0 { format!("{more} more lines below") } else { String::new() });
        lines.push(self.keys());
        lines.iter().take(height).map(|line| cut(line, width)).collect()
    }

    fn keys(&self) -> String {
        let Choice { service, sort, reverse } = &self.choice;
        if self.typing {
            return format!("service: {service}_   Enter, Esc");
        }
        let page = match self.page {
            Page::Streams => "Tab cascades",
            Page::Cascades => "Tab streams",
        };
        let order = if *reverse { ", reversed" } else { "" };
        let filter = if service.is_empty() { String::new() } else { format!(" ({service}, Esc all)") };
        let paused = if self.paused { "p goes on, PAUSED" } else { "p pause" };
        format!("{page}  s sort ({}{order})  r reverse  / filter{filter}  {paused}  q quit", sort.name())
    }
}

const SCREENFUL: usize = 10;

/// A terminal in raw mode, until it is dropped.
struct Screen(Stdout);

impl Screen {
    fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        let mut screen = Self(io::stdout());
        execute!(screen.0, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        for (row, line) in (0..).zip(lines) {
            queue!(self.0, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.0, Clear(ClearType::FromCursorDown))?;
        self.0.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = execute!(self.0, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::board::Service;

    fn snapshot(trees: usize) -> Snapshot {
        let tree =
            |at: usize| json!({"process": "gateway", "own_service": format!("s{at}"), "age_ms": trees - at});
        let service = Service { name: "model".to_owned(), address: "h:1".to_owned() };
        let services = vec![(service, State::Lost("refused".to_owned()))];
        Snapshot { services, trees: (0..trees).map(tree).collect(), cascades: Vec::new() }
    }

    #[test]
    fn desk_lines_fit_any_screen_and_scroll_to_the_last_line() {
        let shown = snapshot(30);
        for (width, height) in [(200, 50), (80, 24), (40, 10), (10, 5), (1, 1)] {
            let mut desk = Desk::default();
            for _ in 0..10 {
                let lines = desk.lines(&shown, width, height);
                assert!(
                    lines.len() <= height && lines.iter().all(|line| line.chars().count() <= width),
                    "{lines:#?}"
                );
                desk.press(KeyCode::PageDown.into());
            }
            let lines = desk.lines(&shown, width, height);
            assert!(
                height < 5 || lines.iter().any(|line| line.starts_with("s29")),
                "{width}x{height}: {lines:#?}"
            );
            assert!(width < 80 || lines[0] == "0 of 1 services · model at h:1: refused", "{lines:?}");
        }
    }

    #[test]
    fn desk_obeys_keys() {
        let mut desk = Desk::default();
        let press = |desk: &mut Desk, codes: &[KeyCode]| codes.iter().any(|code| desk.press((*code).into()));
        let keys = |text: &str| text.chars().map(KeyCode::Char).collect::<Vec<_>>();
        assert!(!press(
            &mut desk,
            &[&[KeyCode::Char('/')][..], &keys("s2qx"), &[KeyCode::Backspace, KeyCode::Backspace]].concat()
        ));
        // A filter that is being typed takes every character.
        assert_eq!(desk.choice.service, "s2");
        press(&mut desk, &[KeyCode::Enter]);
        assert_eq!(
            desk.lines(&snapshot(30), 80, 24).iter().filter(|line| line.starts_with('s')).count(),
            12,
            "s2, s20 to s29, titles"
        );
        press(
            &mut desk,
            &[KeyCode::Esc, KeyCode::Tab, KeyCode::Char('s'), KeyCode::Char('r'), KeyCode::Char('p')],
        );
        assert!(
            desk.paused
                && desk.choice.reverse
                && desk.page == Page::Cascades
                && desk.choice.service.is_empty()
        );
        assert!(
            desk.keys().contains("Tab streams  s sort (messages, reversed)")
                && desk.keys().contains("PAUSED")
        );
        assert!(press(&mut desk, &[KeyCode::Char('q')]));
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(Desk { typing: true, ..Desk::default() }.press(interrupt));
    }
}
