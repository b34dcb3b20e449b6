//! Behaviour of the facade over real sockets, in one process: each file a promise of the builders, the
//! typed streams or the context, each test a sentence. A wait has a bound that noise cannot reach, and
//! nothing is proved by the passing of time alone.

mod cancel;
mod context;
mod cores;
mod deadline;
mod dial;
mod drops;
mod endings;
mod events;
mod fixture;
mod flow;
mod grpc;
mod header;
mod impostors;
mod inspect;
mod limits;
mod limits_tcp;
mod lost;
mod metainfo;
mod middleware;
mod modes;
mod policy;
mod pools;
mod reads;
mod resets;
mod secrets;
mod services;
mod shutdown;
mod strangers;
mod times;
