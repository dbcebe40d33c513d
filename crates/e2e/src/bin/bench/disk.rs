//! How long the disk takes to make a page durable.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use crate::text::quantile;

/// Median and 99th percentile of `fdatasync` after a page was written to the
/// end of a file in `dir`, in milliseconds.
pub(crate) fn sync_ms(dir: &Path) -> std::io::Result<(f64, f64)> {
    let path = dir.join("sync.probe");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..300 {
        file.seek(SeekFrom::End(0))?;
        file.write_all(&[7; 4096])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(path)?;
    Ok((quantile(&mut times, 0.5), quantile(&mut times, 0.99)))
}
