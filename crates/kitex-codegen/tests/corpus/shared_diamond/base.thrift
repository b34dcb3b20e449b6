namespace go d.base
struct Id { 1: required string id }
exception Gone { 1: Id id }
const Id NOBODY = {"id": ""}
