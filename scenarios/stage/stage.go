// Package stage is the AWS control plane of one API Gateway stage: it reads
// the stage, resolves who should answer a method, and creates, deploys,
// promotes, aborts and undoes a canary. It is the only package of coalmine
// that changes what coalmine did not create.
//
// API Gateway has no compare-and-set, so every change here follows the same
// course: read the stage, tell Announce what will be sent, write the stage as
// it was to the Journal (on disk before the request leaves), send one patch,
// read the stage back and compare it with what that patch should have made.
// A server that answers 200 and does something else is noticed, and the stage
// is put back.
//
// A request that changes something is never cancelled while it is under way:
// one that was given up could land after its undo. Cancelling a verb's context
// therefore stops it between requests, never inside one. To undo after a
// cancellation pass a context that is not cancelled (context.WithoutCancel,
// with a timeout): Abort, Rollback, Restore and Recover do nothing on a
// cancelled one.
package stage
