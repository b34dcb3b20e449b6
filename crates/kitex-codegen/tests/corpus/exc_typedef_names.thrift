namespace go rr
exception Error { 1: string m }
typedef Error GetError
typedef Error VGetError
service V { void Get() throws (1: GetError e), void get() throws (1: VGetError e) }
