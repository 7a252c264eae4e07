//! Every limit of this crate, with the reason for its number.

use model::Duration;

/// Largest `ambit.yaml`: 10,000 agents of six lines fit, and a parse stays under a second.
pub(crate) const FILE_BYTES: usize = 4 * 1024 * 1024;
/// Largest file of which lines are shown when it is not YAML: what hides secrets there reads it all.
pub(crate) const SHOWN_BYTES: usize = 512 * 1024;
/// Deepest nesting: the schema itself needs ten levels, test arguments some more.
pub(crate) const DEPTH: usize = 32;
/// Most YAML nodes: 10,000 agents of six lines have 150,000.
pub(crate) const NODES: usize = 250_000;
/// Longest key that is written on one line before its colon; 1,024 is YAML's own number.
pub(crate) const KEY_BYTES: usize = 1_024;
/// Most problems reported in one run: more than anyone corrects before the next run.
pub(crate) const PROBLEMS: usize = 200;
/// Longest piece of the file quoted in a message: leaves room for the sentence in 100 columns.
pub(crate) const QUOTED_CHARS: usize = 48;
/// Width of rendered problems: half a wide screen, a whole narrow one.
pub(crate) const RENDER_COLUMNS: usize = 100;
/// Characters of a source line that are shown; with gutter and frame it stays below `RENDER_COLUMNS`.
pub(crate) const EXCERPT_CHARS: usize = 84;

/// Longest purpose: a sentence or two, shown whole to approvers.
pub(crate) const PURPOSE_CHARS: usize = 500;
/// Longest name of an argument, parameter, data class or resource type.
pub(crate) const WORD_CHARS: usize = 64;
/// Most names in the query of a route: beyond, it is no longer read by people.
pub(crate) const ROUTE_QUERY: usize = 64;
/// Most segments of a route: deeper paths are not addressed by people.
pub(crate) const ROUTE_SEGMENTS: usize = 32;
/// Longest path of a file named in the declared state: Linux' PATH_MAX is larger, no sane layout is.
pub(crate) const PATH_CHARS: usize = 256;

/// Most agents that one agent lets act on its account: each stands in each of its tokens.
pub(crate) const MAY_ACT: usize = 16;

/// Most networks of one agent: each call is compared with them.
pub(crate) const NETWORKS: usize = 64;
/// Life of a token when nothing is said: short enough that a leaked one is soon worthless.
pub(crate) const TTL_DEFAULT: Duration = Duration::seconds(15 * 60);
/// Greatest age of a foreign assertion where none is stated.
pub(crate) const FEDERATED_AGE: Duration = Duration::seconds(60 * 60);
/// Greatest age that may be stated: what is a day old was not made for this request.
pub(crate) const FEDERATED_AGE_MAX: Duration = Duration::seconds(24 * 60 * 60);
/// Longest age that a key may be allowed: what nobody has replaced in three years, nobody knows how to replace.
pub(crate) const MAX_AGE_MAX: Duration = Duration::seconds(3 * 365 * 86_400);
/// Longest life of a token.
pub(crate) const TTL_MAX: Duration = Duration::seconds(60 * 60);
/// Longest time between two reviews of the whole agent.
pub(crate) const REVIEW_MAX: Duration = Duration::seconds(400 * 86_400);
/// Longest part of a manifest: a digest, or an image's reference with one.
pub(crate) const PART_BYTES: usize = 512;
/// How long an ask can be answered when nothing is said.
pub(crate) const ANSWER_DEFAULT: Duration = Duration::seconds(10 * 60);
/// Longest time to answer: an ask that a week did not answer is not waiting any more.
pub(crate) const ANSWER_MAX: Duration = Duration::seconds(7 * 86_400);
/// How long an approval can be used when nothing is said.
pub(crate) const USE_DEFAULT: Duration = Duration::seconds(10 * 60);
/// Longest use of an approval: what was approved yesterday is asked again.
pub(crate) const USE_MAX: Duration = Duration::seconds(86_400);
/// Most people that one rule may require.
pub(crate) const REQUIRED_MAX: i64 = 16;
/// How long a hook may take when nothing is said.
pub(crate) const HOOK_DEFAULT: Duration = Duration::seconds(2);
/// Longest time for a hook: clients give up on a tool call soon after.
pub(crate) const HOOK_MAX: Duration = Duration::seconds(10);
/// Share of actions on the list for review when nothing is said, in percent.
pub(crate) const SAMPLE_DEFAULT: u8 = 5;
/// Longest window of a call limit: counts live in memory for that long.
pub(crate) const WINDOW_MAX: Duration = Duration::seconds(86_400);
/// Most calls in one window: beyond this a limit limits nothing.
pub(crate) const CALLS_MAX: u32 = 1_000_000_000;
/// Most parts of a local server's command: more belong into a file of the server's own.
pub(crate) const COMMAND_PARTS: usize = 64;
/// Longest name of a claim, and longest audience, of an identity provider.
pub(crate) const CLAIM_CHARS: usize = 256;
