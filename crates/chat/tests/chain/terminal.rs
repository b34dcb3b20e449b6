//! The program on a terminal, which here is a pseudo-terminal: widths, colour, and which output has what.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

use crate::emulator::Terminal;
use crate::process::{chat, run};
use crate::within;

const ASK: [&str; 5] = ["why is the sky blue?", "--seed", "3", "--interval", "1"];

/// Runs the program on a terminal; returns what it wrote, and what the terminal then shows with all that has scrolled away.
async fn on_a_terminal(
    words: &[&str],
    vars: &[(&str, &str)],
    (width, height): (u16, u16),
) -> (String, String) {
    let controller =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
    grantpt(&controller).and_then(|()| unlockpt(&controller)).expect("unlocked");
    let name = ptsname(&controller, Vec::new()).expect("a name");
    tcsetwinsize(&controller, Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("a size");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal: OwnedFd = rustix::fs::open(&name, flags, Mode::empty()).expect("the terminal");
    let mut command = chat(words);
    command.env("TERM", "xterm").envs(vars.iter().copied());
    command.stdout(Stdio::from(terminal.try_clone().expect("a copy"))).stderr(Stdio::from(terminal));
    let mut child = command.spawn().expect("a program");
    // The command holds the terminal open.
    drop(command);
    let output = tokio::task::spawn_blocking(move || {
        let (mut file, mut output, mut chunk) = (File::from(controller), Vec::new(), [0; 4096]);
        // The end of a terminal is an error for its controller.
        while let Ok(len @ 1..) = file.read(&mut chunk) {
            output.extend_from_slice(&chunk[..len]);
        }
        output
    });
    let output = within(output).await.expect("no panic");
    assert!(within(child.wait()).await.expect("an end").success());
    let output = String::from_utf8(output).expect("text");
    let mut screen = Terminal::new(width.into(), height.into());
    screen.obey(&output);
    (output, screen.whole_text())
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[tokio::test]
async fn watch_loses_no_letter_at_any_width() {
    let reply = run(chat(&[&ASK[..], &["--quiet"]].concat())).await.out;
    let longest = words(&reply).iter().map(|word| word.len()).max().expect("words");
    assert!(longest < 19, "{reply}");
    for (width, height) in
        [(20, 24), (39, 10), (40, 24), (63, 24), (64, 24), (65, 5), (69, 24), (70, 24), (80, 24), (200, 60)]
    {
        for watch in [&["--watch=1"][..], &[]] {
            let (_, shown) = on_a_terminal(&[&ASK[..], watch].concat(), &[], (width, height)).await;
            let (_, shown) = shown.split_once("\n\n").expect(&shown);
            let (shown, ending) = shown.split_once("\n\nComplete: ").expect(shown);
            // Words in their order, none of them broken, none of the tree's among them.
            assert_eq!(words(shown), words(&reply), "{width}x{height}, {watch:?}");
            assert!(shown.lines().all(|line| line.chars().count() < width.into()), "{shown}");
            assert!(ending.contains(" tokens in ") || width < 40, "{ending}");
        }
    }
}

#[tokio::test]
async fn the_table_of_a_cancel_fits_any_width() {
    for width in [24, 40, 59, 60, 69, 80, 120] {
        let words = ["why is the sky blue?", "--seed", "3", "--interval", "50", "--stop-after", "10"];
        let (_, shown) = on_a_terminal(&words, &[], (width, 60)).await;
        let (_, table) = shown.split_once("\n\nCanceled").expect(&shown);
        for hop in ["gateway", "agent", "model", "12007", "received", "µs", "The model made"] {
            assert!(table.split_whitespace().collect::<Vec<_>>().join(" ").contains(hop), "{width}: {table}");
        }
        let longest = table.lines().map(|line| line.chars().count()).max().expect("lines");
        assert!(longest < width.into() || width < 60, "{width}: {table}");
    }
}

/// What a terminal is sent: colour, a drawing in place, lines broken at spaces.
#[tokio::test]
async fn no_color_turns_off_colour_alone() {
    for (vars, coloured, in_place) in [
        (&[][..], true, true),
        (&[("NO_COLOR", "1")], false, true),
        (&[("NO_COLOR", "")], true, true),
        (&[("TERM", "dumb")], false, false),
    ] {
        let (output, _) = on_a_terminal(&[&ASK[..], &["--watch=5"]].concat(), vars, (40, 24)).await;
        let has = (output.contains("\x1b[2m"), output.contains("\x1b7"));
        assert_eq!(has, (coloured, in_place), "{vars:?}");
        assert_eq!(output.contains('\x1b'), coloured || in_place, "{vars:?}");
    }
}

/// Which output has what.
#[tokio::test]
async fn quiet_and_json_print_a_reply_alone() {
    let stop = ["why is the sky blue?", "--seed", "3", "--interval", "50", "--stop-after", "4"];
    let plain = run(chat(&stop)).await;
    let quiet = run(chat(&[&stop[..], &["--quiet"]].concat())).await;
    let json = run(chat(&[&stop[..], &["--json"]].concat())).await;
    assert_eq!((plain.code, quiet.code, json.code), (Some(0), Some(0), Some(0)));
    assert_eq!((&*plain.out, &*quiet.out), ("The sky is blue\n", "The sky is blue\n"));
    assert!(plain.err.contains("user -> gateway") && plain.err.contains("received after"), "{}", plain.err);
    assert_eq!((&*quiet.err, &*json.err), ("", ""));
    let lines: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let text: String = lines
        .iter()
        .filter(|line| line["ev"] == "token")
        .map(|line| line["text"].as_str().expect("text"))
        .collect();
    assert_eq!(text, "The sky is blue");
    let hops: Vec<&Value> = lines.iter().filter(|line| line["ev"] == "reply").collect();
    let services: Vec<&str> = hops.iter().map(|hop| hop["service"].as_str().expect("a name")).collect();
    assert_eq!(services, ["user", "gateway", "agent", "model"]);
    let times: Vec<u64> = hops.iter().map(|hop| hop["received_us"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted() && times[0] == 0, "{times:?}");
    assert!(hops.iter().all(|hop| hop["code"] == 12007 && hop["end"] == "canceled"), "{hops:?}");
    let both = run(chat(&["hi", "--quiet", "--json"])).await;
    assert_eq!(both.code, Some(2), "{}", both.err);
}

/// `--watch` takes its time after `=` only, so a number that follows it is part of the question.
#[tokio::test]
async fn watch_leaves_the_question_whole() {
    for (words, prompt) in [
        (&["--watch", "50", "hi"][..], "50 hi"),
        (&["50", "--watch", "hi"], "50 hi"),
        (&["--watch=50", "hi"], "hi"),
        (&["hi", "--watch"], "hi"),
    ] {
        let folder = crate::keep::folder(&format!("watch-{}", words.join("")));
        let keep = ["--interval", "1", "--stop-after", "2", "--transcripts", folder.to_str().expect("text")];
        let ended = run(chat(&[words, &keep].concat())).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let file =
            std::fs::read_dir(&folder).expect("a folder").next().expect("a transcript").expect("a file");
        let kept: Value = serde_json::from_slice(&std::fs::read(file.path()).expect("a file")).expect("JSON");
        assert_eq!(kept["prompt"], prompt, "{words:?}");
    }
}
