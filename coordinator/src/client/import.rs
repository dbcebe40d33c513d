//! `import`: numbers from elsewhere.

use swath_coordinator::api::{ChangeOrder, ImportOrder};

use super::change::order;
use super::failure::{Failure, Outcome};
use crate::cli;
use crate::settings::Context;

pub(crate) async fn import(context: &Context, arguments: &cli::Import) -> Outcome {
    let path = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file)
        .map_err(|error| Failure::usage(format!("cannot read {path}: {error}")))?;
    let name = arguments.file.file_name().unwrap_or_default();
    let source = arguments.source.clone();
    let import = ImportOrder {
        selector: arguments.sweep.iter().cloned().collect(),
        file: path.to_string(),
        text,
        source: source.unwrap_or_else(|| name.to_string_lossy().into_owned()),
        table: arguments.table.clone(),
        replace: arguments.replace,
    };
    order(context, ChangeOrder::Import(import)).await
}
