include "common.thrift"
namespace rs review

struct Grade {
  1: required i32 stars
}

service Review {
  Grade Rate(1: common.Topic topic) throws (1: common.Refused refused)
}
