namespace go d.left
include "base.thrift"
struct Left { 1: base.Id id = base.NOBODY }
service LeftService { Left Get(1: base.Id id) throws (1: base.Gone gone) }
