//! A proxy that injects faults: sequential connections, each with one stream.

use std::net::SocketAddr;
use std::time::Duration;

use interop::dial::Failure;
use kerrors::{ApplicationException, Code};
use kitex::bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use ttheader_codec::{FrameType, Head, encode_header, key};

/// The fault of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// It is lost after the server's first response.
    Cut,
    /// After the server's first response, the client gets an Rst.
    RstToClient,
    /// The same, for the server.
    RstToServer,
    /// Nothing is forwarded.
    Mute,
}

/// Listens for clients of `server`.
///
/// # Errors
/// The system's, if no port can be bound.
pub(crate) async fn start(server: SocketAddr, harm: Harm) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // Either end may close first.
            tokio::spawn(async move { pass(client, server, harm).await.is_ok() });
        }
    });
    Ok(address)
}

async fn pass(mut client: TcpStream, server: SocketAddr, harm: Harm) -> std::io::Result<()> {
    // A reset connection leaves no port in TIME_WAIT.
    client.set_zero_linger()?;
    if harm == Harm::Mute {
        // Until the client times out.
        tokio::time::sleep(MUTE).await;
        return Ok(());
    }
    let mut server = TcpStream::connect(server).await?;
    server.set_zero_linger()?;
    let mut head = [0; HEAD];
    client.read_exact(&mut head).await?;
    server.write_all(&head).await?;
    let (mut asked, mut answered) = (vec![0; 1024], vec![0; 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                read => server.write_all(&asked[..read]).await?,
            },
            read = server.read(&mut answered) => {
                let read = read?;
                client.write_all(&answered[..read]).await?;
                break;
            }
        }
    }
    let [_, _, _, _, _, _, _, _, id @ ..] = head;
    let rst = rst(i32::from_be_bytes(id));
    match harm {
        Harm::RstToClient => client.write_all(&rst).await?,
        Harm::RstToServer => server.write_all(&rst).await?,
        Harm::Cut | Harm::Mute => return Ok(()),
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// As far as the stream's id.
const HEAD: usize = 12;
const MUTE: Duration = Duration::from_millis(200);

fn rst(id: i32) -> BytesMut {
    let payload = ApplicationException::new(Code::CANCELED_BY_DOWNSTREAM.number(), "gateway says no")
        .encode("Down", id);
    let strings = [(key::CANCEL_PATH, &b"Gateway"[..])];
    let ints = [(key::FRAME_TYPE, FrameType::Rst.as_bytes()), (key::TO_METHOD, &b"Down"[..])];
    let mut frame = BytesMut::new();
    encode_header(&mut frame, Head::streaming(id), strings, ints, payload.len()).expect("it is small");
    frame.extend_from_slice(&payload);
    frame
}
