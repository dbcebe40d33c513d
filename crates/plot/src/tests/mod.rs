mod fixture;
mod kinds;
mod laws;
