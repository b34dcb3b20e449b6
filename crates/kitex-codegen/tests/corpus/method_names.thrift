namespace go rr
struct S {1: i32 a}
service V { void new(), void clone(), void fmt(), void from(), void into(), void handle(), void service(), void name(), void methods(), void client(), S call(1: S s) (streaming.mode="server"), S open(1: S s) (streaming.mode="client"), void _(), void drop(1: i32 self), void to_owned(), void borrow(), void try_into(), void as_ref(), void deref(), void type_id(), void default() , void with_recv_timeout(), void eq(), void ne()}
