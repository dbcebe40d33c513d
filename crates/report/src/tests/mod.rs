mod fit;
mod fixture;
mod lists;
mod properties;
mod records;
mod snapshots;
