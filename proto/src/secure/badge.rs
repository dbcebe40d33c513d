//! What a caller adds to every call.

use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A connection on which every call shows the caller's token, if it has one.
pub type Line = InterceptedService<Channel, Badge>;

/// The token that every call shows.
#[derive(Clone, Debug, Default)]
pub struct Badge {
    token: Option<SecretString>,
}

impl Badge {
    /// Shows `token`, as [`swath_model::access::TokenText::shown`] gives it.
    pub const fn new(token: Option<SecretString>) -> Self {
        Self { token }
    }
}

impl Interceptor for Badge {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.token {
            let value = format!("Bearer {}", token.expose_secret());
            let value = MetadataValue::try_from(value);
            let mut value = value.map_err(|_| Status::internal("the token is no text"))?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}
