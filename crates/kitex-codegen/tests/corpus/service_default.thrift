namespace go rr
struct S {1: i32 a}
exception Exc {1: string m}
service Default {
  S Get(1: S s) throws (1: Exc e)
  S Watch(1: S s) (streaming.mode="server")
  S Talk(1: S s) (streaming.mode="bidirectional")
  S Put(1: S s) (streaming.mode="client")
 oneway void Fire(1: S s)
}
