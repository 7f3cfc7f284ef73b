//! Plays every case on the engine in a page: `page COMMAND…` starts the process that holds it.

use std::env;
use std::process::ExitCode;

use tea_conformance::case::PAGE;
use tea_conformance::page::Player;
use tea_conformance::suite::play_all;

fn main() -> ExitCode {
    let command: Vec<String> = env::args().skip(1).collect();
    let judged = Player::start(&command)
        .and_then(|mut player| play_all(PAGE, move |stage| player.play(stage)));
    match judged {
        Ok(judged) if judged.failed.is_empty() && judged.played > 0 => {
            println!("{} conformance cases pass in WebAssembly", judged.played);
            ExitCode::SUCCESS
        }
        Ok(judged) => {
            let (count, all) = (judged.failed.len(), judged.played);
            eprintln!("{count} of {all} cases fail:\n{}", judged.failed.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
