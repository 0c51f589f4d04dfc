// Package stage is the AWS control plane of what splits the traffic of an API: an
// API Gateway stage with canary settings, or a Lambda alias with weights. It
// reads it, resolves who should answer a method, and creates, deploys, promotes,
// repoints, aborts and undoes a canary. It is the only package of coalmine that
// changes what coalmine did not create.
//
// A stage has no compare-and-set, so every change here follows the same course:
// read, tell Announce what will be sent, write what was to the Journal (on disk
// before the request leaves), make one request, read back and compare with what
// that request should have made. A server that answers 200 and does something
// else is noticed, and everything is put back. An alias has a compare-and-set,
// its revision, which every move of one names.
//
// What a verdict is about is Measured: stage, canary, and the aliases behind
// both arms. Promote and Repoint read all of it again, and refuse any difference
// with ErrChanged.
//
// A request that changes something is never cancelled while it is under way:
// one that was given up could land after its undo. Cancelling a verb's context
// therefore stops it between requests, never inside one. To undo after a
// cancellation pass a context that is not cancelled (context.WithoutCancel,
// with a timeout): Abort, Rollback, Restore and Recover do nothing on a
// cancelled one.
package stage
