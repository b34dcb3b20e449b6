//! The command line of `kitex-top`.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::board::{Board, Service};
use crate::follow::follow;
use crate::live;
use crate::view::{Choice, Page, Sort};

/// A fatal error of the program, in one line.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Shows the open streams of running services as one tree, and the last cancels with a time for each hop.
#[derive(Debug, Parser)]
#[command(name = "kitex-top", version)]
pub struct Program {
    /// A service, and the HTTP address of its inspection.
    #[arg(required = true, value_name = "[NAME=]HOST:PORT", value_parser = service)]
    services: Vec<Service>,
    /// Print what is known as text, and exit.
    #[arg(long)]
    once: bool,
    /// With --once: print JSON.
    #[arg(long, requires = "once")]
    json: bool,
    /// With --once: milliseconds to wait for services.
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    wait: u64,
    /// Only trees and cascades that a service with this in its name is part of.
    #[arg(long, value_name = "NAME", default_value = "")]
    service: String,
    /// The order of trees.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// The other way round.
    #[arg(long)]
    reverse: bool,
}

fn service(word: &str) -> Result<Service, String> {
    let (name, address) = word.split_once('=').unwrap_or((word, word));
    let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
    match port {
        Some((host, Ok(_))) if !host.is_empty() && !name.is_empty() => {
            Ok(Service { name: name.to_owned(), address: address.to_owned() })
        }
        _ => Err("give HOST:PORT or NAME=HOST:PORT".to_owned()),
    }
}

impl Program {
    /// Runs the command.
    ///
    /// # Errors
    /// Two services have one name; there is no terminal; with `--once`: a service did not answer.
    pub async fn run(self) -> Result<(), Failure> {
        for (at, service) in self.services.iter().enumerate() {
            if self.services.iter().take(at).any(|other| other.name == service.name) {
                return Err(
                    format!("{} is given twice: give each service a name of its own", service.name).into()
                );
            }
        }
        let board = Arc::new(Board::new(&self.services));
        let mut following = JoinSet::new();
        for service in &self.services {
            following.spawn(follow(service.clone(), board.clone()));
        }
        let choice = Choice { service: self.service.clone(), sort: self.sort, reverse: self.reverse };
        if self.once {
            return self.print(&board, &choice).await;
        }
        if !io::stdout().is_terminal() {
            return Err("the standard output is no terminal: use --once".into());
        }
        Ok(live::run(&board, choice).await?)
    }

    async fn print(&self, board: &Board, choice: &Choice) -> Result<(), Failure> {
        let mut changes = board.changes();
        let settled = async { while !board.is_settled() && changes.changed().await.is_ok() {} };
        // What has come by then is printed.
        let _ = timeout(Duration::from_millis(self.wait), settled).await;
        let snapshot = choice.apply(board.snapshot());
        let text = if self.json {
            snapshot.to_json().to_string()
        } else {
            [Page::Streams, Page::Cascades].map(|page| page.lines(&snapshot).join("\n")).join("\n\n")
        };
        writeln!(io::stdout(), "{text}")?;
        match snapshot.missing() {
            missing if missing.is_empty() => Ok(()),
            missing => Err(missing.join("; ").into()),
        }
    }
}
