namespace go rr.main
include "base.thrift"
include "mid.thrift"
service Top extends mid.Mid { void Own(), base.T Stream(1: base.T t) (streaming.mode = "server") }
service Sibling extends Top { void base() }
service Alone extends base.Base {}
