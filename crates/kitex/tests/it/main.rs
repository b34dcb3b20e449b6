//! Behaviour of the facade over real sockets, in one process: each file a promise of the builders, the
//! typed streams or the context, each test a sentence. A wait has a bound that noise cannot reach, and
//! nothing is proved by the passing of time alone.

mod addresses;
mod cancel;
mod clock;
mod context;
mod cores;
mod deadline;
mod decode_limits;
mod dial;
mod drops;
mod endings;
mod events;
mod fixture;
mod flow;
mod grpc;
mod header;
mod healthy;
mod impostors;
mod inspect;
mod interrupted;
mod limits;
mod limits_tcp;
mod lost;
mod metainfo;
mod middleware;
mod modes;
mod oversize;
mod panics;
mod policy;
mod pools;
mod reads;
mod resets;
mod runtimes;
mod saves;
mod secrets;
mod services;
mod shutdown;
mod strangers;
mod times;
mod unix;
