mod fixture;
mod properties;
mod snapshots;
