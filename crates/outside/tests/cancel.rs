//! A cancel through three services, on a network in memory and on tokio's paused clock.

use std::time::Duration;

use kitex::testing::Network;
use kitex::{BizStatusError, Code, Context, Error, Result, Server, ServerStreamingServer, Side, async_trait};
use outside::common::Topic;
use outside::review::{ReviewClient, ReviewRateError, ReviewServer};
use outside::story::{Story, StoryClient, StoryServer, Word};
use outside::{Critic, Reader, Relay, Teller};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Reports how the handler of a service ended.
struct Watched<S> {
    name: &'static str,
    service: S,
    seen: mpsc::Sender<(&'static str, Error)>,
}

#[async_trait]
impl<S: Story> Story for Watched<S> {
    async fn tell(&self, ctx: Context, topic: Topic, stream: ServerStreamingServer<Word>) -> Result<()> {
        let ended = self.service.tell(ctx, topic, stream).await;
        if let Err(error) = &ended {
            self.seen.try_send((self.name, error.clone())).expect("room for every hop");
        }
        ended
    }
}

fn serve<S: Story>(network: &Network, service: Watched<S>) {
    network.serve(Server::builder(service.name).service(StoryServer::new(service))).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_three_services_at_once() {
    let network = Network::new();
    let (seen, mut hops) = mpsc::channel(3);
    let next = |service: &str| Relay { next: StoryClient::new(network.client(service).build().unwrap()) };
    serve(&network, Watched { name: "teller", service: Teller, seen: seen.clone() });
    serve(&network, Watched { name: "agent", service: next("teller"), seen: seen.clone() });
    serve(&network, Watched { name: "gateway", service: next("agent"), seen });

    let client = StoryClient::new(network.client("gateway").caller("listener").build().unwrap());
    let (ctx, canceler) = Context::background().with_cancel();
    let mut words = client.tell(&ctx, Topic { text: "once upon".into() }).await.unwrap();
    assert_eq!(words.recv().await.unwrap().unwrap().text, "once");

    let started = Instant::now();
    canceler.cancel();
    assert_eq!(words.recv().await.unwrap_err().code(), Some(Code::CANCELED));
    let mut paths = Vec::new();
    while let Some((name, error)) = hops.recv().await {
        assert_eq!(error.code(), Some(Code::CANCELED), "{name}: {error}");
        paths.push((name, error.path().map(ToString::to_string).unwrap_or_default()));
        if paths.len() == 3 {
            break;
        }
    }
    // A paused clock advances if every task waits: so no timer was waited for.
    assert!(started.elapsed() < Duration::from_millis(10), "{:?}", started.elapsed());
    paths.sort();
    let expected = [
        ("agent", "listener -> gateway"),
        ("gateway", "listener"),
        ("teller", "listener -> gateway -> agent"),
    ];
    assert_eq!(paths, expected.map(|(name, path)| (name, path.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn errors_arrive_with_their_kind() {
    let network = Network::new();
    let server = Server::builder("library").service(StoryServer::new(Reader { folder: "nowhere".into() }));
    network.serve(server.service(ReviewServer::new(Critic))).unwrap();
    let ctx = Context::background();

    // An error of another library, converted by `Error::other`: its text arrives.
    let stories = StoryClient::new(network.client("library").build().unwrap());
    let mut words = stories.tell(&ctx, Topic { text: "missing".into() }).await.unwrap();
    let error = words.recv().await.unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
    assert_eq!(error.side(), Some(Side::Client));

    // An exception of the IDL arrives with its type.
    let reviews = ReviewClient::new(network.client("library").build().unwrap());
    assert_eq!(reviews.rate(&ctx, Topic { text: "long enough".into() }).await.unwrap().stars, 5);
    let error = reviews.rate(&ctx, Topic { text: "".into() }).await.unwrap_err();
    let ReviewRateError::Refused(refused) = error else { panic!("another error: {error}") };
    assert_eq!(refused.reason, "there is no topic");
    // `?` converts a business error.
    assert!(matches!(Error::from(BizStatusError::new(404, "no story")), Error::Biz(_)));
}
