#!/usr/bin/env escript
%%! -pa /usr/lib/yaws/ebin
%% An echo server of Yaws with its logs in the given directory, at the given port of 127.0.0.1. Its callbacks are of the
%% advanced kind, which are told of pongs.
-module(server).
-mode(compile).
-export([main/1, out/1, init/1, handle_message/2]).
-include("/usr/lib/yaws/include/yaws_api.hrl").

main([Dir, Port]) ->
    Site = [{port, list_to_integer(Port)}, {listen, {127, 0, 0, 1}}, {appmods, [{"/", ?MODULE}]}],
    ok = yaws:start_embedded(Dir, Site, [{logdir, Dir}], "echo"),
    receive stop -> ok end.

%% out is asked for the answer to a request.
out(_Arg) ->
    {websocket, ?MODULE, [{callback, {advanced, none}}]}.

init([Arg, none]) ->
    {ok, Arg#arg.headers}.

handle_message(#ws_frame_info{opcode = ping, data = Data}, _Headers) ->
    {reply, {pong, Data}};
handle_message(#ws_frame_info{opcode = pong, data = <<"are you there">>}, _Headers) ->
    {reply, {text, <<"!pong">>}};
handle_message(#ws_frame_info{opcode = close, data = <<Code:16, Reason/binary>>}, _Headers) ->
    {close, {Code, Reason}};
handle_message(#ws_frame_info{opcode = text, data = <<"!close ", Rest/binary>>}, _Headers) ->
    [Code, Reason] = binary:split(Rest, <<" ">>),
    {close, {binary_to_integer(Code), Reason}};
handle_message(#ws_frame_info{opcode = text, data = <<"!kill">>}, _Headers) ->
    {close, 1006};
handle_message(#ws_frame_info{opcode = text, data = <<"!ping">>}, _Headers) ->
    {reply, {ping, <<"are you there">>}};
handle_message(#ws_frame_info{opcode = text, data = <<"!cookie">>}, Headers) ->
    {reply, {text, list_to_binary(yaws_api:headers_cookie(Headers))}};
handle_message(#ws_frame_info{opcode = text, data = <<"!header">>}, Headers) ->
    {reply, {text, list_to_binary(yaws_api:get_header(Headers, "x-interop"))}};
handle_message(#ws_frame_info{opcode = Opcode, fin = Fin, data = Data}, _Headers) ->
    {reply, #ws_frame{fin = Fin =:= 1, opcode = Opcode, payload = Data}}. % fragment by fragment
