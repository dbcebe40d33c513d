mod fixture;
mod lists;
mod properties;
mod snapshots;
