mod fixture;
mod hard;
mod kinds;
mod laws;
