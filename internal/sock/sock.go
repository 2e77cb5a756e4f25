// Package sock reads and writes the file descriptors of sockets that do not
// block, as a syscall.RawConn hands them out. On Linux, and most of its processors, it
// does so without telling the scheduler: a call that cannot block takes less time
// than that would. It does tell the race detector, which takes what was written to
// happen before what is read, as programs do.
//
// The caller of RawConn.Read or Write decides what happens when there is nothing
// to read or no room to write. So it need not hold a buffer while it waits.
package sock

import "errors"

// ErrAgain means that there is nothing to read, or no room to write.
var ErrAgain = errors.New("sock: would block")

// MaxSize is the largest piece, in bytes, that is worth the short way: a
// call holds up everything else that the scheduler would have run meanwhile.
const MaxSize = 64 << 10
