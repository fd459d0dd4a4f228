//! heartstream-peer wire | risk | all: consume and produce the same bytes, or scores in between.
//! heartstream-peer lines risk | all < RECORDS: the score of each line, empty for a record that is not valid.
//!
//! Reads the worker's environment variables; SIGTERM ends it after a last commit. Serves a logistic regression for
//! UCI's built-in feature table, and records that are all valid: anything else ends it.
mod kafka;
mod model;
mod record;
mod score;
use kafka::Clients;
use model::{Model, fail};
use score::Scorer;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
static STOPPING: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: i32) {
    STOPPING.store(true, Ordering::Relaxed);
}

fn variable(name: &str) -> String {
    let name = format!("HEARTSTREAM_{name}");
    std::env::var(&name).unwrap_or_else(|_| fail(&format!("{name} is not set")))
}

fn scorer(all: bool) -> Scorer {
    Scorer::new(Model::load(Path::new(&variable("MODEL__PATH")), &variable("MODEL__NAME")), all)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["wire"] => stream(|value, _, _, _, out| out.extend_from_slice(value)),
        [details @ ("risk" | "all")] => {
            let mut scorer = scorer(details == "all");
            stream(move |value, topic, partition, offset, out| {
                if !scorer.score(value, topic, partition, offset, out) {
                    fail("the benchmark's records can all be scored");
                }
            })
        }
        ["lines", details @ ("risk" | "all")] => lines(scorer(details == "all")),
        _ => fail("usage: heartstream-peer wire | [lines] risk | [lines] all"),
    }
}

fn stream(mut result: impl FnMut(&[u8], &str, i32, i64, &mut Vec<u8>)) {
    let patients = variable("TOPICS__PATIENTS");
    let (servers, group) = (variable("KAFKA__BOOTSTRAP_SERVERS"), variable("WORKER__GROUP_ID"));
    let mut clients = Clients::new(&servers, &group, &patients, &variable("TOPICS__SCORES"));
    unsafe { libc::signal(libc::SIGTERM, stop as *const () as usize) };
    let mut next_commit = Instant::now() + COMMIT_INTERVAL;
    while !STOPPING.load(Ordering::Relaxed) {
        clients.transfer(|value, partition, offset, out| result(value, &patients, partition, offset, out));
        if Instant::now() >= next_commit {
            clients.commit();
            next_commit = Instant::now() + COMMIT_INTERVAL;
        }
    }
    clients.commit();
    clients.close();
}

fn lines(mut scorer: Scorer) {
    let (mut out, mut offset) = (Vec::new(), 0);
    for line in std::io::stdin().lock().split(b'\n').map(Result::unwrap) {
        scorer.score(&line, "patients", 0, offset, &mut out);
        out.push(b'\n');
        offset += 1;
    }
    std::io::stdout().write_all(&out).unwrap();
}
