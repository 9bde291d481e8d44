# SPDX-License-Identifier: MIT
# Sidekiq:  REDIS=… SINK=… CA=… sidekiq -r ./purges.rb -c 25
#           REDIS=… ruby purges.rb push COUNT
require "net/http"
require "sidekiq"

Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("REDIS"), size: 30 } }
Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("REDIS") } }
Sidekiq.logger.level = Logger::WARN

class Purge
  include Sidekiq::Worker

  def perform(target)
    reply = connection.post("/purge/#{target}", "", "Fastly-Key" => "token")
    raise reply.code unless reply.code == "200"
  end

  private

  def connection
    Thread.current[:purge] ||= begin
      sink = URI(ENV.fetch("SINK"))
      http = Net::HTTP.new(sink.host, sink.port)
      http.use_ssl = true
      http.ca_file = ENV.fetch("CA")
      http.keep_alive_timeout = 60
      http.start
    end
  end
end

if ARGV[0] == "push"
  (0...ARGV[1].to_i).each_slice(1000) do |part|
    Sidekiq::Client.push_bulk("class" => Purge,
                              "args" => part.map { |i| ["www.example.com/news/2026/some-article-#{i}"] })
  end
end
