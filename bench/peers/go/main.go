// SPDX-License-Identifier: MIT

// A dispatcher (Redis stream to Fastly) and an HTTP server (HTTP to Redis stream), as a careful Go
// programmer would write them in a day.
//
//	peer urls|keys REDIS SINK CA WORKERS     dispatch the stream "jobs"
//	peer serve REDIS ADDRESS                 POST {"url": "..."} adds it to the stream "jobs"
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
)

const (
	stream  = "jobs"
	group   = "peer"
	atOnce  = "256"
	service = "SU1Z0isxPaozGVKXdv0eY"
)

type job struct{ id, target string }

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func client(ca string) *http.Client {
	pem, err := os.ReadFile(ca)
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: true,
	}}
}

func post(c *http.Client, url, keys string) {
	request, err := http.NewRequest("POST", url, nil)
	must(err)
	request.Header.Set("Fastly-Key", "token")
	if keys != "" {
		request.Header.Set("Surrogate-Key", keys)
	}
	reply, err := c.Do(request)
	must(err)
	_, err = io.Copy(io.Discard, reply.Body)
	must(err)
	reply.Body.Close()
	if reply.StatusCode != 200 {
		log.Fatal(reply.Status)
	}
}

// Reads the stream, and waits for more at its end.
func read(path string, take func([]job)) {
	c := dial(path)
	c.ask("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
	for {
		reply := c.ask("XREADGROUP", "GROUP", group, "me", "COUNT", atOnce, "BLOCK", "1000", "STREAMS", stream, ">")
		if reply == nil {
			continue
		}
		entries := reply.([]any)[0].([]any)[1].([]any)
		jobs := make([]job, len(entries))
		for i, entry := range entries {
			jobs[i] = job{entry.([]any)[0].(string), entry.([]any)[1].([]any)[1].(string)}
		}
		take(jobs)
	}
}

// Removes finished jobs, up to 256 at a time.
func remove(path string, done chan []job) {
	c := dial(path)
	for jobs := range done {
		for more := true; more && len(jobs) < 256; {
			select {
			case also := <-done:
				jobs = append(jobs, also...)
			default:
				more = false
			}
		}
		ack, del := []string{"XACK", stream, group}, []string{"XDEL", stream}
		for _, j := range jobs {
			ack, del = append(ack, j.id), append(del, j.id)
		}
		c.send(ack...)
		c.send(del...)
		must(c.w.Flush())
		c.receive()
		c.receive()
	}
}

func dispatchURLs(path, sink, ca string, workers int) {
	c, work, done := client(ca), make(chan job, 512), make(chan []job, 512)
	for i := 0; i < workers; i++ {
		go func() {
			for j := range work {
				post(c, sink+"/purge/"+j.target, "")
				done <- []job{j}
			}
		}()
	}
	go remove(path, done)
	read(path, func(jobs []job) {
		for _, j := range jobs {
			work <- j
		}
	})
}

func dispatchKeys(path, sink, ca string, workers int) {
	c, work, done := client(ca), make(chan []job), make(chan []job, 64)
	for i := 0; i < workers; i++ {
		go func() {
			for jobs := range work {
				keys := make([]string, len(jobs))
				for i, j := range jobs {
					keys[i] = j.target
				}
				post(c, sink+"/service/"+service+"/purge", strings.Join(keys, " "))
				done <- jobs
			}
		}()
	}
	go remove(path, done)
	read(path, func(jobs []job) { work <- jobs })
}

type push struct {
	url   string
	reply chan any
}

// Uses one Redis connection for all requests, and pipelines those that arrive together.
func serve(path, address string) {
	pushes := make(chan push, 1024)
	go func() {
		c := dial(path)
		for p := range pushes {
			asked := []push{p}
			c.send("XADD", stream, "*", "url", p.url)
			for more := true; more && len(asked) < 256; {
				select {
				case also := <-pushes:
					c.send("XADD", stream, "*", "url", also.url)
					asked = append(asked, also)
				default:
					more = false
				}
			}
			must(c.w.Flush())
			for _, p := range asked {
				p.reply <- c.receive()
			}
		}
	}()
	must(http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ URL string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.URL == "" {
			http.Error(w, "url: expected", 422)
			return
		}
		p := push{asked.URL, make(chan any, 1)}
		pushes <- p
		id, ok := (<-p.reply).(string)
		if !ok {
			http.Error(w, "Redis does not take it", 503)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(202)
		io.WriteString(w, `{"job":"`+id+`"}`)
	})))
}

func main() {
	a := os.Args
	switch {
	case len(a) == 4 && a[1] == "serve":
		serve(a[2], a[3])
	case len(a) == 6:
		workers, err := strconv.Atoi(a[5])
		must(err)
		if a[1] == "keys" {
			dispatchKeys(a[2], a[3], a[4], workers)
		}
		dispatchURLs(a[2], a[3], a[4], workers)
	}
	log.Fatal("peer: wrong arguments")
}
