//! The output of the built-in model, and its pace.

use std::collections::HashSet;
use std::time::Duration;

use chat::model::{Model, Ngram, Reply};
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::tokens_of;

const TEXT: &str = include_str!("../../data/everyday.txt");

#[tokio::test]
async fn the_same_seed_writes_the_same_text() {
    for seed in 0..20 {
        let prompt = "why is the sky blue?";
        assert_eq!(written(seed, prompt).await, written(seed, prompt).await, "seed {seed}");
    }
}

#[tokio::test]
async fn other_seeds_and_no_seed_write_other_texts() {
    let mut seeded = HashSet::new();
    let mut unseeded = HashSet::new();
    let fast = Ngram::new().with_interval(Duration::ZERO);
    for seed in 0..20 {
        seeded.insert(written(seed, "how do birds fly?").await);
        unseeded.insert(text_of(fast.reply("how do birds fly?")).await);
    }
    assert!(seeded.len() > 15, "{} of 20 differ", seeded.len());
    assert!(unseeded.len() > 15, "{} of 20 differ", unseeded.len());
}

#[tokio::test]
async fn a_reply_is_about_its_prompt() {
    let rows: &[(&str, &[&str])] = &[
        ("why is the sky blue?", &["sky", "light"]),
        ("WHY ARE SKIES BLUE", &["sky", "light"]),
        ("What makes a rainbow?", &["rainbow", "bow"]),
        ("how do the tides work", &["tide"]),
        ("why do we have seasons?", &["summer", "winter", "tilt"]),
        ("Explain the phases of the moon, please.", &["moon"]),
        ("why do we sleep?", &["sleep"]),
        ("what are dreams", &["dream", "sleep"]),
        ("how is bread baked?", &["bread", "dough", "loaf"]),
        ("how does a bike stay up", &["bicycle"]),
        ("what is inside a computer?", &["computer", "processor"]),
        ("how does the internet work?", &["internet", "network", "packet"]),
        ("why should I cancel a stream?", &["cancel", "stream"]),
        ("who are you?", &["model"]),
        ("hello!", &["model"]),
        ("why do rivers bend?", &["river"]),
        ("why is the sea salty", &["salt"]),
        ("how can a plane fly?", &["plane", "wing"]),
        ("why do I forget things?", &["memory", "remember", "forget"]),
        ("why does music move us?", &["music", "note", "sound"]),
        ("what's lightning?", &["lightning", "thunder"]),
        ("will it rain tomorrow", &["rain", "weather", "forecast"]),
        ("how do magnets work?", &["magnet"]),
        ("why do leaves turn red in autumn?", &["leaf", "leaves", "tree", "autumn"]),
        ("why do cats purr?", &["cat"]),
        ("How do vaccines work?", &["vaccine", "immune", "virus"]),
    ];
    for (prompt, words) in rows {
        for seed in 0..20 {
            let reply = written(seed, prompt).await.to_lowercase();
            assert!(words.iter().any(|word| reply.contains(word)), "{prompt} (seed {seed}): {reply}");
        }
    }
}

#[tokio::test]
async fn every_reply_ends_with_a_sentence() {
    for prompt in
        ["why is the sky blue?", "", "?!", "zxqj", "warum ist der Himmel blau?", "🌈", &"sky ".repeat(9999)]
    {
        for seed in 0..20 {
            let tokens = tokens_of(model(seed).reply(prompt)).await;
            let reply = tokens.concat();
            assert!((60..=250).contains(&tokens.len()), "{} tokens: {reply}", tokens.len());
            assert!(reply.ends_with('.'), "{reply}");
        }
    }
}

#[tokio::test]
async fn tokens_are_single_words_that_join_to_prose() {
    for seed in 0..20 {
        let tokens = tokens_of(model(seed).reply("how does soap clean?")).await;
        assert!(
            tokens.iter().all(|token| !token.trim_start().is_empty() && !token.trim_start().contains(' '))
        );
        let reply = tokens.concat();
        assert!(reply.starts_with(char::is_uppercase), "{reply}");
        for wrong in ["  ", " ,", " .", "..", "\n", "#"] {
            assert!(!reply.contains(wrong), "{wrong:?} in {reply}");
        }
    }
}

#[tokio::test]
async fn a_reply_is_written_and_not_copied() {
    let text = TEXT.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut sentences, mut new) = (0, 0);
    for prompt in
        ["why is the sky blue?", "how do tides work?", "why does bread rise?", "how does a computer work?"]
    {
        for seed in 0..20 {
            let reply = written(seed, prompt).await;
            assert!(!text.contains(&reply), "a copy: {reply}");
            sentences += reply.split_inclusive('.').count();
            new += reply.split_inclusive('.').filter(|sentence| !text.contains(sentence.trim())).count();
        }
    }
    assert!(new * 5 > sentences, "only {new} of {sentences} sentences are new");
}

#[tokio::test(start_paused = true)]
async fn tokens_come_at_the_pace_that_was_asked_for() {
    for interval in [1, 15, 400].map(Duration::from_millis) {
        let begin = Instant::now();
        let tokens = tokens_of(Ngram::new().with_seed(1).with_interval(interval).reply("tides")).await;
        let pauses = u32::try_from(tokens.len()).expect("few tokens") - 1;
        let took = begin.elapsed();
        // The timer has a resolution of a millisecond; one more poll returns the end.
        assert!(took >= interval * pauses, "{took:?} for {pauses} pauses of {interval:?}");
        assert!(took <= (interval + Duration::from_millis(1)) * (pauses + 2), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_works_only_when_polled_and_ends_with_its_drop() {
    let interval = Duration::from_millis(15);
    let mut reply = Ngram::new().with_interval(interval).reply("why is the sky blue?");
    for _ in 0..5 {
        reply.next().await.expect("a token").expect("no error");
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    let begin = Instant::now();
    for _ in 0..5 {
        reply.next().await.expect("a token").expect("no error");
    }
    assert!(begin.elapsed() >= interval * 4, "tokens were prepared in advance");
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "the reply works on its reader's task");
    drop(reply);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

fn model(seed: u64) -> Ngram {
    Ngram::new().with_seed(seed).with_interval(Duration::ZERO)
}

async fn written(seed: u64, prompt: &str) -> String {
    text_of(model(seed).reply(prompt)).await
}

async fn text_of(reply: Reply) -> String {
    tokens_of(reply).await.concat()
}
