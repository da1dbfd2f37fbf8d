CREATE INDEX osnl_arrival_canary ON osnl_arrival (message_id) WHERE event_type = 'osnl.canary' AND length(message_id) <= 64;
