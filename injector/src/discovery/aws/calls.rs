//! What all calls share: one HTTP client, one deadline, few retries.

use std::{error::Error, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, default_provider::credentials::DefaultCredentialsChain,
    environment::EnvironmentVariableRegionProvider, imds, meta::region::RegionProviderChain,
    profile::ProfileFileRegionProvider, provider_config::ProviderConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_ec2::{config::SharedHttpClient, error::ProvideErrorMetadata};
use aws_smithy_http_client::{Builder, tls};
use tokio::time::{Instant, timeout_at};

use super::answers::{Answer, Instance, Unanswered};

/// One attempt of a call.
const ATTEMPT: Duration = Duration::from_secs(2);
/// A call with its retries.
const CALL: Duration = Duration::from_secs(5);
/// Calls that are throttled are worth another two attempts.
const ATTEMPTS: u32 = 3;
/// Metadata comes from the same host: it answers at once or not at all.
const METADATA_ATTEMPT: Duration = Duration::from_secs(1);
/// One request to the metadata with its retry.
const METADATA: Duration = Duration::from_millis(2500);
/// A lost packet is no reason to give up.
const METADATA_ATTEMPTS: u32 = 2;
/// Pause before the first retry; twice as long before the next.
const BACKOFF: Duration = Duration::from_millis(200);

/// Makes calls until a deadline.
#[derive(Debug)]
pub(super) struct Calls {
    http: SharedHttpClient,
    metadata: imds::Client,
    until: Instant,
}

impl Calls {
    /// Calls that all end within `deadline`.
    pub(super) fn new(deadline: Duration) -> Self {
        let http =
            Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https();
        let metadata = imds::Client::builder()
            .configure(&provider(&http))
            .connect_timeout(METADATA_ATTEMPT)
            .read_timeout(METADATA_ATTEMPT)
            .operation_attempt_timeout(METADATA_ATTEMPT)
            .operation_timeout(METADATA)
            .max_attempts(METADATA_ATTEMPTS)
            .build();
        Self { http, metadata, until: Instant::now() + deadline }
    }

    /// The instance's metadata.
    pub(super) const fn metadata(&self) -> &imds::Client {
        &self.metadata
    }

    /// What the service clients start from: the region of this instance, or the
    /// one that is set up, and credentials from wherever the SDK finds them.
    pub(super) async fn config(&self, instance: Option<&Instance>) -> SdkConfig {
        let region = match instance {
            Some(instance) => Some(Region::new(instance.region.clone())),
            None => set_up_region().await,
        };
        let credentials = DefaultCredentialsChain::builder()
            .configure(provider(&self.http))
            .imds_client(self.metadata.clone())
            .region(region.clone())
            .build()
            .await;
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL).build();
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.http.clone())
            .credentials_provider(credentials)
            .region(region)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACKOFF))
            .timeout_config(timeouts)
            .load()
            .await
    }

    /// Waits for a call of a service, until the deadline.
    pub(super) async fn answer<T, E>(
        &self,
        call: &'static str,
        request: impl Future<Output = Result<T, E>>,
    ) -> Answer<T>
    where
        E: Error + ProvideErrorMetadata,
    {
        match timeout_at(self.until, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Unanswered { call, why: said(&error).unwrap_or_else(|| causes(&error)) }),
            Err(_) => Err(Unanswered { call, why: "no answer in time".to_owned() }),
        }
    }
}

fn provider(http: &SharedHttpClient) -> ProviderConfig {
    ProviderConfig::without_region().with_http_client(http.clone())
}

/// Not the SDK's whole chain: its end is the metadata, which did not answer.
async fn set_up_region() -> Option<Region> {
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .region()
        .await
}

/// The service's own words: `AccessDenied: User ... is not authorized ...`.
fn said(error: &impl ProvideErrorMetadata) -> Option<String> {
    let code = error.code()?;
    Some(error.message().map_or_else(|| code.to_owned(), |message| format!("{code}: {message}")))
}

/// An error with all that led to it, each once.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    texts.join(": ")
}
