//! What trained weights are like: measured after a training, without one.

mod lbfgsb;
