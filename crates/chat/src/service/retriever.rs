//! Finds passages of the built-in essays that are about a question, and sends them one by one, the best first. It runs
//! beside the model, as the second branch of the agent.

use std::collections::HashSet;
use std::time::Duration;

use kitex::{Context, Result, ServerStreamingServer};

use super::RETRIEVER;
use crate::api::{Chat, Question, Token};
use crate::report::{Report, Reports};

/// The retriever. It ranks paragraphs by the words that they share with the question.
#[derive(Debug)]
pub struct Retriever {
    passages: Vec<Passage>,
    interval: Duration,
    reports: Reports,
}

#[derive(Debug)]
struct Passage {
    /// The subject and the first sentence.
    text: String,
    words: HashSet<String>,
}

impl Retriever {
    /// Returns a retriever that sends a passage every 250 ms.
    pub fn new(reports: Reports) -> Self {
        Self { passages: read(include_str!("../../data/everyday.txt")), interval: INTERVAL, reports }
    }

    /// Passages by the number of words that they share with the question.
    fn ranked(&self, question: &str) -> Vec<&Passage> {
        let asked = words(question);
        let mut ranked: Vec<_> = self.passages.iter().collect();
        ranked.sort_by_key(|passage| std::cmp::Reverse(passage.words.intersection(&asked).count()));
        ranked.truncate(MAX_PASSAGES);
        ranked
    }

    async fn send(
        &self,
        ctx: &Context,
        question: &str,
        stream: &ServerStreamingServer<Token>,
        sent: &mut u64,
    ) -> Result<()> {
        for passage in self.ranked(question) {
            stream.send(&Token { text: passage.text.clone().into() }).await?;
            *sent += 1;
            ctx.until_canceled(tokio::time::sleep(self.interval)).await?;
        }
        Ok(())
    }
}

#[kitex::async_trait]
impl Chat for Retriever {
    async fn ask(
        &self,
        ctx: Context,
        question: Question,
        stream: ServerStreamingServer<Token>,
    ) -> Result<()> {
        let mut sent = 0;
        let ended = self.send(&ctx, &question.prompt, &stream, &mut sent).await;
        self.reports.publish(Report::new(RETRIEVER, &ended, sent).of(&ctx));
        ended
    }
}

fn read(text: &str) -> Vec<Passage> {
    let mut subject = String::new();
    let mut passages = Vec::new();
    for block in text.split("\n\n") {
        if let Some(heading) = block.trim_start().strip_prefix('#') {
            subject = heading.split_whitespace().next().unwrap_or_default().to_owned();
            continue;
        }
        let block = block.split_whitespace().collect::<Vec<_>>().join(" ");
        let first = block.split_inclusive(". ").next().unwrap_or_default().trim().to_owned();
        if !first.is_empty() {
            let mut words = words(&block);
            words.insert(subject.clone());
            passages.push(Passage { text: format!("{subject}: {first}"), words });
        }
    }
    passages
}

/// Words that say what a text is about: those of four letters and more.
fn words(text: &str) -> HashSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3 || *word == "sky");
    words.map(str::to_lowercase).collect()
}

const INTERVAL: Duration = Duration::from_millis(250);
const MAX_PASSAGES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retriever_ranks_the_passages_about_the_question_first() {
        let retriever = Retriever::new(Reports::channel().0);
        for (question, subject) in [("why is the sky blue?", "sky: "), ("How do birds fly so far?", "bird")] {
            let ranked = retriever.ranked(question);
            assert!(ranked.len() > 10 && ranked[0].text.starts_with(subject), "{}", ranked[0].text);
        }
    }
}
