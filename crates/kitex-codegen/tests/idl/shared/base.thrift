namespace go shared
namespace rs acme.shared

/** Who calls. */
struct Caller {
  1: required string name
  /* Where it is,
   * as far as it is known. */
  2: optional string zone = "here"
}

exception Busy {
  1: i32 retry_ms
}

typedef Caller Someone

const i32 LIMIT = 100

/** What every service can do. */
service Health {
  /** Says whether it is well. */
  bool Check(1: Caller caller) throws (1: Busy busy)
  void Touch()
}
