//! A service that tells stories word by word, one that passes on what another tells, and one that rates topics.

include!(concat!(env!("OUT_DIR"), "/story.rs"));
include!(concat!(env!("OUT_DIR"), "/review.rs"));

use std::fs;
use std::path::PathBuf;

use common::{Refused, Topic};
use kitex::{Context, Error, Result, ServerStreamingServer, async_trait};
use review::{Grade, Review, ReviewRateError};
use story::{Story, StoryClient, Word};

/// Tells about a topic until the caller has heard enough.
pub struct Teller;

#[async_trait]
impl Story for Teller {
    async fn tell(&self, _: Context, topic: Topic, stream: ServerStreamingServer<Word>) -> Result<()> {
        for text in topic.text.split(' ').cycle() {
            // Fails as soon as the stream is canceled, with the code and the path of who did it.
            stream.send(&Word { text: text.to_owned().into() }).await?;
        }
        Ok(())
    }
}

/// Passes on what another service tells.
pub struct Relay {
    pub next: StoryClient,
}

#[async_trait]
impl Story for Relay {
    async fn tell(&self, ctx: Context, topic: Topic, stream: ServerStreamingServer<Word>) -> Result<()> {
        tracing::info!(topic = %topic.text, "passing on");
        // Opened under `ctx`: a cancel of this handler's stream cancels it too.
        let mut words = self.next.tell(&ctx, topic).await?;
        while let Some(word) = words.recv().await? {
            stream.send(&word).await?;
        }
        Ok(())
    }
}

/// Tells what a file says.
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
