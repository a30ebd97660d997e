# The jobs of the Sidekiq tests, and the server they run against; the worker process and the test both load this.

require 'sidekiq'

URL = ENV.fetch('REDIS_URL')
Sidekiq.configure_client { |config| config.redis = { url: URL } }
Sidekiq.configure_server do |config|
  config.redis = { url: URL }
  # Sidekiq 7 has its settings in the configuration itself.
  settings = config.respond_to?(:options) ? config.options : config
  settings[:poll_interval_average] = 1
end

def kept(&work)
  Sidekiq.redis(&work)
end

# Adds to a sum and notes that it ran.
class Add
  include Sidekiq::Worker

  def perform(number)
    kept { |redis| redis.multi { |unit| unit.incrby('sum', number); unit.incr('ran') } }
  end
end

# Fails until it is tried again.
class Shaky
  include Sidekiq::Worker
  sidekiq_options retry: 3
  sidekiq_retry_in { 0 }

  def perform
    raise 'not yet' if kept { |redis| redis.incr('tries') } < 2

    kept { |redis| redis.incr('ran') }
  end
end

# Fails for good.
class Hopeless
  include Sidekiq::Worker
  sidekiq_options retry: 0

  def perform
    raise 'never'
  end
end

# Is at work until the process is told to end.
class Slow
  include Sidekiq::Worker

  def perform
    kept { |redis| redis.set('slow', 'began') }
    sleep 60
  end
end
