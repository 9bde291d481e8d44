// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
)

// A Redis connection with the required parts of RESP, and explicit pipelining.
type redis struct {
	r *bufio.Reader
	w *bufio.Writer
}

func dial(path string) *redis {
	c, err := net.Dial("unix", path)
	must(err)
	return &redis{bufio.NewReaderSize(c, 1<<18), bufio.NewWriterSize(c, 1<<16)}
}

func (c *redis) send(words ...string) {
	c.w.WriteByte('*')
	c.w.WriteString(strconv.Itoa(len(words)))
	for _, word := range words {
		c.w.WriteString("\r\n$")
		c.w.WriteString(strconv.Itoa(len(word)))
		c.w.WriteString("\r\n")
		c.w.WriteString(word)
	}
	c.w.WriteString("\r\n")
}

// nil, string, int64, error or []any
func (c *redis) receive() any {
	line, err := c.r.ReadString('\n')
	must(err)
	rest := line[1 : len(line)-2]
	switch line[0] {
	case '-':
		return errors.New(rest)
	case '+':
		return rest
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	must(err)
	switch {
	case line[0] == ':':
		return n
	case n < 0:
		return nil
	case line[0] == '$':
		text := make([]byte, n+2)
		_, err := io.ReadFull(c.r, text)
		must(err)
		return string(text[:n])
	}
	all := make([]any, n)
	for i := range all {
		all[i] = c.receive()
	}
	return all
}

func (c *redis) ask(words ...string) any {
	c.send(words...)
	must(c.w.Flush())
	return c.receive()
}
