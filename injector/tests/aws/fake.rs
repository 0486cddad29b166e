//! A stand-in for the instance metadata, EC2 and Elastic Load Balancing: real HTTP on a local port, with answers in the
//! form of the API references.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Longer than anything under test waits.
const HANG: Duration = Duration::from_secs(60);

/// What is asked for; calls to EC2 by the filter that distinguishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// The token that comes before all other metadata.
    Token,
    /// One category of the metadata.
    Metadata(&'static str),
    /// `DescribeNetworkInterfaces` for the instance's own.
    Interfaces,
    /// `DescribeNetworkInterfaces` for those of Network Load Balancers.
    BalancerInterfaces,
    /// `DescribeLoadBalancers`.
    Balancers,
    /// `DescribeListeners`.
    Listeners,
    /// `DescribeListenerAttributes`.
    Attributes,
}

/// What comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// A status and a body.
    Http(u16, &'static str),
    /// Nothing: the request is taken, and that is all.
    Nothing,
}

type Answers = Arc<Mutex<HashMap<Call, Answer>>>;

/// The running stand-in. Its threads end with the test.
#[derive(Debug)]
pub(crate) struct Fake {
    address: String,
    answers: Answers,
}

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name))
    };
}

impl Fake {
    /// With interfaces of which one has 1800 s and the other nothing set, and a load balancer with 1800 s.
    pub(crate) fn start() -> Self {
        let answers = Answers::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let shared = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &answers));
            }
        });
        let fake = Self { address, answers };
        fake.answer(Call::Interfaces, Answer::Http(200, recorded!("interfaces_1800.xml")));
        fake.answer(Call::BalancerInterfaces, Answer::Http(200, recorded!("balancer_interfaces.xml")));
        fake.answer(Call::Balancers, Answer::Http(200, recorded!("load_balancers.xml")));
        fake.answer(Call::Listeners, Answer::Http(200, recorded!("listeners.xml")));
        fake.answer(Call::Attributes, Answer::Http(200, recorded!("listener_attributes.xml")));
        fake
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, call: Call, answer: Answer) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(call, answer);
    }

    /// The environment that leads the SDK here, and keeps it from what this host may have.
    pub(crate) fn environment(&self) -> Vec<String> {
        let url = format!("http://{}", self.address);
        [
            format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={url}"),
            format!("AWS_ENDPOINT_URL={url}"),
            "AWS_ACCESS_KEY_ID=AKIDEXAMPLE".to_owned(),
            "AWS_SECRET_ACCESS_KEY=EXAMPLE".to_owned(),
            "AWS_CONFIG_FILE=/dev/null".to_owned(),
            "AWS_SHARED_CREDENTIALS_FILE=/dev/null".to_owned(),
        ]
        .into()
    }
}

/// Answers all requests of one connection.
fn serve(stream: TcpStream, answers: &Answers) {
    let mut reader = BufReader::new(stream);
    while let Some((request, body)) = read(&mut reader) {
        let answer = find(&request, &body, &answers.lock().unwrap_or_else(PoisonError::into_inner));
        let (status, text) = match answer {
            Answer::Http(status, text) => (status, text),
            Answer::Nothing => return thread::sleep(HANG),
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", text.len());
        let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n";
        if write!(reader.get_mut(), "{head}{ttl}\r\n{text}").is_err() {
            return;
        }
    }
}

/// The first line of a request, and its body.
fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut request = String::new();
    reader.read_line(&mut request).ok().filter(|&length| length > 0)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((request, String::from_utf8(body).ok()?))
}

fn find(request: &str, body: &str, answers: &HashMap<Call, Answer>) -> Answer {
    let path = request.split(' ').nth(1).unwrap_or_default();
    if request.starts_with("PUT") {
        return answers.get(&Call::Token).copied().unwrap_or(Answer::Http(200, "TOKEN"));
    }
    if request.starts_with("GET") {
        let configured = answers.iter().find(|(call, _)| matches!(call, Call::Metadata(category) if *category == path));
        return configured.map_or_else(|| metadata(path), |(_, answer)| *answer);
    }
    let call = match body {
        _ if body.contains("network_load_balancer") => Call::BalancerInterfaces,
        _ if body.contains("Action=DescribeNetworkInterfaces") => Call::Interfaces,
        _ if body.contains("Action=DescribeLoadBalancers") => Call::Balancers,
        _ if body.contains("Action=DescribeListenerAttributes") => Call::Attributes,
        _ => Call::Listeners,
    };
    answers[&call]
}

fn metadata(path: &str) -> Answer {
    let recorded: HashMap<&str, String> =
        serde_json::from_str(recorded!("metadata.json")).expect("recorded as one object");
    // One request of a handful for each test: leaking it is the simplest way to keep it.
    recorded.get(path).map_or(Answer::Http(404, ""), |text| Answer::Http(200, text.clone().leak()))
}
