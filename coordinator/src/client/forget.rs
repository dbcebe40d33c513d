//! `forget`: shows what tables lose, asks, and throws it away.

use swath_coordinator::api::{ChangeOrder, Changed, Forgetting, Losing, ReadQuery, Spared};
use swath_report::counted;

use super::ask::agree;
use super::change::{each, print};
use super::connection::Connection;
use super::exit::Exit;
use super::failure::Outcome;
use crate::cli;
use crate::settings::Context;

pub(crate) async fn forget(context: &Context, arguments: cli::Forget) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let words = arguments.selector.join(" ");
    let changed = forgotten(context, &mut connection, arguments).await;
    let is_local = connection.is_local();
    connection.close().await?;
    print(context, &changed?)?;
    if is_local {
        let asked = &context.asked;
        context.printer.hint(format!(
            "nothing trains yet; `coordinator run {words}{asked}` trains them here, \
             `coordinator serve{asked}` hands them to workers"
        ));
    }
    Ok(Exit::Ok)
}

async fn forgotten(
    context: &Context,
    connection: &mut Connection,
    arguments: cli::Forget,
) -> Outcome<Changed> {
    let cli::Forget { selector, ask } = arguments;
    if ask.yes {
        let until = None;
        let order = ChangeOrder::ForgetResults { selector, until };
        return connection.change(&order).await;
    }
    let query = ReadQuery::Forgetting {
        selector: selector.clone(),
    };
    let found: Forgetting = connection.read(&query).await?;
    agree(context, "forget", lines(&found, &selector.join(" ")))?;
    // What was shown goes, whatever its name means by now and has measured since.
    let until = Some(found.at);
    if found.meant.is_empty() {
        let order = ChangeOrder::ForgetResults { selector, until };
        return connection.change(&order).await;
    }
    let orders = found.meant.iter().map(|sweep| ChangeOrder::ForgetResults {
        selector: vec![sweep.to_string()],
        until,
    });
    each(connection, orders).await
}

/// What would go, one line for each sweep, and what stays.
fn lines(found: &Forgetting, words: &str) -> Vec<String> {
    let results = counted(found.results, "result");
    let mut lines = vec![format!("`forget` would throw {results} away:")];
    let width = found.sweeps.iter().map(|it| it.sweep.chars().count()).max();
    let width = width.unwrap_or(0);
    for losing in &found.sweeps {
        lines.push(format!("  {:<width$}  {}", losing.sweep, losses(losing)));
    }
    lines.push("their jobs train anew, with the same seeds".to_owned());
    lines.extend(spared(found.spared, words));
    lines
}

/// What a sweep loses.
fn losses(losing: &Losing) -> String {
    let Losing {
        sweep: _,
        owner,
        results,
        cells,
        emptied,
    } = losing;
    let owner = match &**owner {
        "" => String::new(),
        owner => format!(", of {owner}"),
    };
    let medians = match (*emptied, cells - emptied) {
        (0, 1) => "its median is of fewer then".to_owned(),
        (0, _) => "their medians are of fewer then".to_owned(),
        (1, 0) => "which has no median then".to_owned(),
        (_, 0) => "which have no median then".to_owned(),
        (emptied, left) => {
            format!("{emptied} of them without a median then, {left} with one of fewer")
        }
    };
    let (results, cells) = (counted(*results, "result"), counted(*cells, "cell"));
    format!("{results} of {cells}, {medians}{owner}")
}

/// What stays as it is, and what would change it.
fn spared(spared: Spared, words: &str) -> Vec<String> {
    let Spared {
        failed,
        cancelled,
        open,
    } = spared;
    let mut lines = Vec::new();
    if failed + cancelled > 0 {
        let jobs = counted(failed + cancelled, "failed or cancelled job");
        lines.push(format!(
            "left alone: {jobs}; `coordinator retry {words}` queues them again"
        ));
    }
    if open > 0 {
        let jobs = counted(open, "job");
        lines.push(format!(
            "left alone: {jobs} not ended yet; cancel and retry what trains with the wrong thing"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use swath_model::time::Timestamp;
    use swath_model::view::SCHEMA_VERSION;

    use super::*;

    fn losing(sweep: &str, results: u64, cells: u64, emptied: u64) -> Losing {
        Losing {
            sweep: sweep.to_owned(),
            owner: String::new(),
            results,
            cells,
            emptied,
        }
    }

    #[test]
    fn what_tables_lose_is_shown() {
        let found = Forgetting {
            schema_version: SCHEMA_VERSION,
            at: Timestamp::from_ms(0),
            results: 12,
            meant: Vec::new(),
            sweeps: vec![
                losing("digits", 12, 4, 3),
                Losing {
                    owner: "alice".to_owned(),
                    ..losing("others@2", 2, 1, 0)
                },
                losing("one", 1, 1, 1),
            ],
            spared: Spared {
                failed: 1,
                cancelled: 2,
                open: 1,
            },
        };
        insta::assert_snapshot!(lines(&found, "digits").join("\n"), @r"
        `forget` would throw 12 results away:
          digits    12 results of 4 cells, 3 of them without a median then, 1 with one of fewer
          others@2  2 results of 1 cell, its median is of fewer then, of alice
          one       1 result of 1 cell, which has no median then
        their jobs train anew, with the same seeds
        left alone: 3 failed or cancelled jobs; `coordinator retry digits` queues them again
        left alone: 1 job not ended yet; cancel and retry what trains with the wrong thing
        ");
    }
}
