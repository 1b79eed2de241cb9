package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
)

// process is a running example.
type process struct {
	cmd   *exec.Cmd
	asked atomic.Bool   // its end is wanted
	done  chan struct{} // closed after it ended and err was set
	err   error

	mu  sync.Mutex
	log bytes.Buffer // what it wrote to stderr
}

// startProcess hands each line of the program's output to say, and calls unasked if it ends by itself.
func startProcess(program string, unasked context.CancelCauseFunc, say func(string), env ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(context.Background(), program), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = logOf{p}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which then ends the others
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			say(lines.Text())
		}
		p.err = p.cmd.Wait()
		if !p.asked.Load() {
			unasked(fmt.Errorf("%s ended by itself: %v", program, p.cmd.ProcessState))
		}
	}()
	return p, nil
}

// end sends the signal and waits. It returns an error unless the process was killed or ended well.
func (p *process) end(ctx context.Context, sig syscall.Signal) error {
	p.asked.Store(true)
	if err := p.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if sig == syscall.SIGKILL {
		return nil
	}
	return p.err
}

func (p *process) kill() {
	p.asked.Store(true)
	_ = p.cmd.Process.Kill() // fails if it has ended already
	<-p.done
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

type logOf struct{ *process }

func (l logOf) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}
