//! A service that sends the words of a story, one that forwards the words of another, and one that rates topics.

include!(concat!(env!("OUT_DIR"), "/story.rs"));
include!(concat!(env!("OUT_DIR"), "/review.rs"));

use std::fs;
use std::path::PathBuf;

use common::{Refused, Topic};
use kitex::{Context, Error, Result, ServerStreamingServer, async_trait};
use review::{Grade, Review, ReviewRateError};
use story::{Story, StoryClient, Word};

/// Sends the words of a topic, again and again, until the stream is canceled.
pub struct Teller;

#[async_trait]
impl Story for Teller {
    async fn tell(&self, _: Context, topic: Topic, stream: ServerStreamingServer<Word>) -> Result<()> {
        for text in topic.text.split(' ').cycle() {
            // Fails as soon as the stream is canceled, with the code and the cancel path.
            stream.send(&Word { text: text.to_owned().into() }).await?;
        }
        Ok(())
    }
}

/// Forwards the words of another service.
pub struct Relay {
    pub next: StoryClient,
}

#[async_trait]
impl Story for Relay {
    async fn tell(&self, ctx: Context, topic: Topic, stream: ServerStreamingServer<Word>) -> Result<()> {
        tracing::info!(topic = %topic.text, "forwarding");
        // Opened under `ctx`: a cancel of this handler's stream cancels it too.
        let mut words = self.next.tell(&ctx, topic).await?;
        while let Some(word) = words.recv().await? {
            stream.send(&word).await?;
        }
        Ok(())
    }
}

/// Sends the words of a file.
pub struct Reader {
    pub folder: PathBuf,
}

#[async_trait]
impl Story for Reader {
    async fn tell(&self, _: Context, topic: Topic, stream: ServerStreamingServer<Word>) -> Result<()> {
        let text = fs::read_to_string(self.folder.join(&*topic.text)).map_err(Error::other)?;
        for text in text.split_whitespace() {
            stream.send(&Word { text: text.to_owned().into() }).await?;
        }
        Ok(())
    }
}

/// Rates topics by their length.
pub struct Critic;

#[async_trait]
impl Review for Critic {
    async fn rate(&self, _: Context, topic: Topic) -> std::result::Result<Grade, ReviewRateError> {
        if topic.text.is_empty() {
            return Err(Refused { reason: "there is no topic".into() }.into());
        }
        let stars = i32::try_from(topic.text.len()).map_err(Error::other)?;
        Ok(Grade { stars: stars.min(5) })
    }
}
