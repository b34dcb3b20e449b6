namespace go d.right
include "./base.thrift"
struct Right { 1: set<base.Id> ids }
service RightService { Right Get(1: base.Id id) throws (1: base.Gone gone) }
