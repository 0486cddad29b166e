//! Discovery on AWS: which interfaces and load balancers there are, and after
//! which idle time each of them drops.
//!
//! ```text
//! imds, ec2, elbv2 -> Answers -> discover (pure) -> Discovery
//! ```
//!
//! Only the calls need the cargo feature `aws`.

pub(crate) mod answers;
#[cfg(feature = "aws")]
mod calls;
pub(crate) mod discover;
#[cfg(feature = "aws")]
mod ec2;
#[cfg(feature = "aws")]
mod elbv2;
pub(crate) mod family;
#[cfg(feature = "aws")]
mod imds;

#[cfg(feature = "aws")]
use std::time::Duration;

use answers::Answers;

use crate::error::Error;

/// All calls together take no longer than this: what has not answered by then
/// is not known.
#[cfg(feature = "aws")]
const DEADLINE: Duration = Duration::from_secs(8);

/// Whether this build can ask.
///
/// Errors with [`Error::BadValue`] where it can't.
pub(crate) fn check_support() -> Result<(), Error> {
    if cfg!(feature = "aws") {
        return Ok(());
    }
    Err(Error::BadValue {
        what: "--discover",
        value: "aws".to_owned(),
        expected: "built without AWS support: build with --features aws".to_owned(),
    })
}

/// Asks the metadata of this instance, EC2 and Elastic Load Balancing. Answers
/// within `DEADLINE`, whatever they do.
#[cfg(feature = "aws")]
pub(crate) async fn ask() -> Answers {
    let calls = calls::Calls::new(DEADLINE);
    let instance = imds::instance(&calls).await;
    let config = calls.config(instance.as_ref().ok()).await;
    let (tracking, balancers) = futures_util::future::join(
        ec2::tracking(&calls, &config, instance.as_ref()),
        elbv2::balancers(&calls, &config),
    )
    .await;
    Answers { instance, tracking, balancers }
}

/// What a build without the feature could say; [`check_support`] comes first.
#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "as its namesake")]
pub(crate) async fn ask() -> Answers {
    let unanswered = || answers::Unanswered { call: "aws", why: "built without AWS support".to_owned() };
    Answers { instance: Err(unanswered()), tracking: Err(unanswered()), balancers: Err(unanswered()) }
}
